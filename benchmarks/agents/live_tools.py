"""A tools service whose tools take as long as live_load.py says.

`python -m benchmarks.agents.live_tools`. It takes its settings and tells its address as
tools_hosting.py says.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import uvloop

from benchmarks.agents.live_load import TOOLS, Load, result, run_s
from benchmarks.tools_sleepers import serve
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_SCHEMA: Schema = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}
_HINTS = Annotations(read_only=True, idempotent=False, open_world=False)


@dataclass
class Sleeper:
    """Sleeps, and tells something about it; how long depends on whose which call it is."""

    name: str
    load: Load
    calls: Counter[str]
    annotations: Annotations = _HINTS
    description: str = "Find out something."
    input_schema: Schema = field(default_factory=lambda: _SCHEMA)
    output_schema: Schema | None = None
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        return ""

    async def run(self, arguments: Arguments, context: Context) -> Output:
        session = context.session or ""
        self.calls[session] += 1
        number = self.calls[session]
        await asyncio.sleep(run_s(self.load, self.name, session, number))
        return Output(result(session, number))


def sleepers(load: Load) -> Iterator[Sleeper]:
    """One of each tool; they count a session's calls together."""
    calls: Counter[str] = Counter()
    return (Sleeper(name, load, calls) for name in TOOLS)


if __name__ == "__main__":
    load = msgspec.json.decode(sys.stdin.readline(), type=Load)
    settings = {"port": 0, "slots": 4 * load.live, "hedge": {"share": 0}}
    uvloop.run(serve(msgspec.json.encode(settings).decode(), sleepers(load)))
