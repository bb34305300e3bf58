"""Tools whose end the test decides, and the service around them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from tools_service.config import ToolsServiceConfig
from tools_service.errors import ToolFailed
from tools_service.server import Parts
from tools_service.service import assemble
from tools_service.tools.calculate import Calculate
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema, Tool

_CLOSED = Annotations(read_only=True, idempotent=True, open_world=False)
_OPEN = Annotations(read_only=True, idempotent=True, open_world=True)
_CODE = Annotations(read_only=False, idempotent=False, open_world=False)
_ANY: Schema = {"type": "object"}
_TEXT: Schema = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


@dataclass
class Gate:
    """Ends when the test opens it; tells when it began and when it was cancelled."""

    name: str = "gate"
    description: str = "Wait until the test says so."
    input_schema: Schema = field(default_factory=lambda: _ANY)
    output_schema: Schema | None = None
    annotations: Annotations = _CLOSED
    upstream: str | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Context] = field(default_factory=list)
    inside: int = 0
    most: int = 0

    def shape(self, arguments: Arguments) -> str:
        return str(arguments.get("shape", "any"))

    async def run(self, arguments: Arguments, context: Context) -> Output:
        self.seen.append(context)
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.started.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        finally:
            self.inside -= 1
        return Output("opened")


@dataclass
class Act:
    """Does what the test's function does with the text it is given."""

    act: Callable[[str], str]
    name: str = "act"
    description: str = "Do what the test says."
    input_schema: Schema = field(default_factory=lambda: _TEXT)
    output_schema: Schema | None = None
    annotations: Annotations = _CODE
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        return str(arguments["text"])

    async def run(self, arguments: Arguments, context: Context) -> Output:
        return Output(self.act(str(arguments["text"])))


@dataclass(eq=False)
class Run:
    """One attempt of a trial: it ends as the test says, and `end` is cancelled with it."""

    arguments: Arguments
    context: Context
    end: asyncio.Future[Output] = field(default_factory=asyncio.Future)

    def answers(self, text: str = "found") -> None:
        self.end.set_result(Output(text))

    def fails(self, failure: Exception) -> None:
        self.end.set_exception(failure)

    async def stopped(self) -> None:
        """Returns when the attempt was cancelled."""
        await asyncio.wait([self.end])
        assert self.end.cancelled()


@dataclass
class Trial:
    """A tool of the open world, each attempt of which the test takes and ends."""

    name: str = "trial"
    description: str = "Try."
    input_schema: Schema = field(default_factory=lambda: _ANY)
    output_schema: Schema | None = None
    annotations: Annotations = _OPEN
    upstream: str | None = "web"
    begun: asyncio.Queue[Run] = field(default_factory=asyncio.Queue)

    def shape(self, arguments: Arguments) -> str:
        return "any"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        run = Run(arguments, context)
        self.begun.put_nowait(run)
        return await run.end


def act(text: str) -> str:
    """`fail` fails, `crash` crashes, `time` raises TimeoutError, a number is a length."""
    match text:
        case "fail":
            raise ToolFailed("no such page")
        case "crash":
            raise RuntimeError("secret inside")
        case "time":
            raise TimeoutError
        case _:
            return "é" * int(text) if text.isdigit() else text


@dataclass
class Stand:
    """A running service and its gate."""

    parts: Parts
    gate: Gate
    url: str = ""

    @property
    def mcp(self) -> str:
        return f"{self.url}/mcp"

    def metric(self, name: str, **labels: str) -> float:
        return (
            self.parts.prometheus.get_sample_value(f"roundhouse_tools_service_{name}", labels)
            or 0.0
        )

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with (
            ClientSession(headers=headers) as http,
            http.get(self.url + path) as response,
        ):
            return response.status, await response.text()


def stand(*tools: Tool, **settings: object) -> Stand:
    """A service that is not running yet, with a gate, an act, calculate and these."""
    return built(time.monotonic, *tools, **settings)


def built(clock: Callable[[], float], /, *tools: Tool, **settings: object) -> Stand:
    """The same, on a clock of the test's."""
    gate = Gate()
    config = ToolsServiceConfig.model_validate({"port": 0, **settings})
    served: tuple[Tool, ...] = (gate, Act(act), Calculate(), *tools)
    # One of the test's own stands instead of ours of that name.
    named = {tool.name: tool for tool in served}
    return Stand(assemble(config, named.values(), CollectorRegistry(), clock), gate)


@asynccontextmanager
async def opened(*tools: Tool, **settings: object) -> AsyncIterator[Stand]:
    """The same with an executor that takes calls, and no socket."""
    service = stand(*tools, **settings)
    async with asyncio.timeout(20), service.parts.executor.opened():
        yield service
