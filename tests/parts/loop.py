"""A tool loop with a scripted engine and scripted tools, and what its events say."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from engine.types import ChoiceDone, Delta
from gateway.config import ToolsConfig
from gateway.events import (
    LoopReport,
    TurnEvent,
)
from gateway.history import History
from gateway.loop import LoopContext
from gateway.metrics import Metrics
from gateway.sessions import Session
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.toolbox import CallRunner
from gateway.turns import Turns
from gateway.wire import parse
from tests.parts.clock import Clock
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn
from tests.parts.tools import ScriptedTool, tools_service

SERVER = {"type": "mcp", "server_label": "roundhouse"}


OWN = {"type": "function", "function": {"name": "mine", "parameters": {}}}


USER = {"role": "user", "content": "hi"}


@dataclass
class Bench:
    """A loop with everything it needs; `client` None: this gateway has no tools service."""

    engine: ScriptedEngine
    client: ToolClient | None
    config: ToolsConfig = field(default_factory=ToolsConfig)
    clock: Clock = field(default_factory=Clock)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    session: Session = field(default_factory=lambda: Session("s", "t", "s", True))
    turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        metrics = Metrics(self.registry)
        fail_as_result = self.config.when_down == "answer_without"
        runner = CallRunner(self.client, metrics, fail_as_result=fail_as_result)
        context = LoopContext(self.config, runner, History(100), metrics, self.clock)
        self.turns = Turns(context, self.client)

    async def events(self, **fields: object) -> AsyncGenerator[TurnEvent, None]:
        body = {"messages": [USER], "tools": [SERVER], **fields}
        request = parse(msgspec.json.encode(body), "chat", "roundhouse")
        return await self.turns.begin(self.engine, request, self.session, "id")

    async def run(self, **fields: object) -> list[TurnEvent]:
        async with asyncio.timeout(5), aclosing(await self.events(**fields)) as events:
            return [event async for event in events]

    def asked(self, turn_index: int) -> dict[str, Any]:
        """The body of the engine's call number `turn_index`."""
        return dict(self.engine.calls[turn_index].body)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"roundhouse_{name}", labels) or 0.0


@asynccontextmanager
async def bench(
    *script: Sequence[Step], tools: Sequence[ScriptedTool] = (), **settings: object
) -> AsyncGenerator[Bench]:
    """An engine with this script, and these tools."""
    async with (
        tools_service(*(tools or [ScriptedTool()])) as url,
        ToolClient(ToolClientConfig(url)) as client,
    ):
        yield Bench(ScriptedEngine(*script), client, ToolsConfig.model_validate(settings))


@asynccontextmanager
async def bench_without_service(
    *script: Sequence[Step], **settings: object
) -> AsyncGenerator[Bench]:
    """The same, but nobody answers at the tools service's address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
    async with ToolClient(ToolClientConfig(url)) as client:
        yield Bench(ScriptedEngine(*script), client, ToolsConfig.model_validate(settings))


def only(events: Sequence[TurnEvent], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def said(events: Sequence[TurnEvent]) -> str:
    return "".join(event.text for event in only(events, Delta))


def report(events: Sequence[TurnEvent]) -> LoopReport:
    (found,) = only(events, LoopReport)
    assert isinstance(found, LoopReport)
    return found


def reason(events: Sequence[TurnEvent]) -> str:
    (done,) = only(events, ChoiceDone)
    return str(done.reason)


def result(call_id: str, content: str = "found") -> dict[str, str]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


ONE_CALL = turn(text("look: "), call("search", '{"q": "x"}'), reason="tool_calls")


ANSWER = turn(text("it is ", "so"))
