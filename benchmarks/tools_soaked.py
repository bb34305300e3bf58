"""The service of the soak: `python -m benchmarks.tools_soaked`; see tools_hosting.py."""

import asyncio
import sys

import uvloop

from benchmarks.tools_sleepers import serve
from tools_service.errors import ToolFailed
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_ANY: Schema = {"type": "object"}
_CLOSED = Annotations(read_only=True, idempotent=True, open_world=False)
_NAP_S, _LONG_S = 0.05, 20.0


class Mixed:
    """Echoes, fails, sleeps for a moment, or for so long that its caller leaves."""

    name = "mixed"
    description = "Do what the arguments say."
    input_schema: Schema = _ANY
    output_schema: Schema | None = None
    annotations = _CLOSED
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        """As the caller says: more than the table has rows for."""
        return str(arguments["shape"])

    async def run(self, arguments: Arguments, context: Context) -> Output:
        """Raises ToolFailed when it is told to."""
        match arguments["act"]:
            case "fail":
                raise ToolFailed("as it was told")
            case "sleep":
                await asyncio.sleep(_NAP_S)
            case "leave":
                await asyncio.sleep(_LONG_S)
        return Output(str(arguments["text"]))


class Tasks:
    """How many tasks the service's event loop has."""

    name = "tasks"
    description = "Count the tasks."
    input_schema: Schema = _ANY
    output_schema: Schema | None = None
    annotations = _CLOSED
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        """There is but one."""
        return "any"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        """A number."""
        return Output(str(len(asyncio.all_tasks())))


if __name__ == "__main__":
    uvloop.run(serve(sys.stdin.readline(), (Mixed(), Tasks())))
