"""A tools service whose tools only sleep: `python -m benchmarks.tools_sleepers`.

It takes its settings and tells its address as tools_hosting.py says.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import uvloop
from prometheus_client import CollectorRegistry

from benchmarks.tools_workload import LAWS
from tools_service.config import ToolsServiceConfig
from tools_service.records import Kind
from tools_service.service import assemble, running
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema, Tool

_HINTS: dict[Kind, Annotations] = {
    "closed": Annotations(read_only=True, idempotent=True, open_world=False),
    "open": Annotations(read_only=True, idempotent=True, open_world=True),
    "code": Annotations(read_only=False, idempotent=False, open_world=True),
}


@dataclass
class Sleeper:
    """Runs as long as the caller says; the table sees only the shape."""

    name: str
    annotations: Annotations
    description: str = "Sleep for `run_s` seconds."
    input_schema: Schema = field(default_factory=lambda: {"type": "object"})
    output_schema: Schema | None = None
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        return str(arguments["shape"])

    async def run(self, arguments: Arguments, context: Context) -> Output:
        await asyncio.sleep(float(str(arguments["run_s"])))
        return Output("slept")


def sleepers() -> Iterable[Sleeper]:
    """One for every law of the workload."""
    return (Sleeper(name, _HINTS[law.kind]) for name, law in LAWS.items())


async def serve(settings: str, tools: Iterable[Tool]) -> None:
    """A service of these tools, until standard input ends."""
    config = ToolsServiceConfig.model_validate_json(settings)
    async with running(assemble(config, tools, CollectorRegistry())) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve(sys.stdin.readline(), sleepers()))
