"""Tools whose end the test decides, and the service around them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from tools_service.config import ToolsServiceConfig
from tools_service.errors import ToolFailed
from tools_service.server import Parts
from tools_service.service import assemble
from tools_service.tools.calculate import Calculate
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_CLOSED = Annotations(read_only=True, idempotent=True, open_world=False)
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


def stand(acting: Act | None = None, **settings: object) -> Stand:
    """A service that is not running yet, with a gate, an act and calculate."""
    gate = Gate()
    config = ToolsServiceConfig.model_validate({"port": 0, **settings})
    return Stand(
        assemble(config, (gate, acting or Act(act), Calculate()), CollectorRegistry()), gate
    )
