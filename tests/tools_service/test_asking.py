"""Tools that ask their user, and results that keep their promise, in both protocol eras."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent
from prometheus_client import CollectorRegistry

from tests.conformance.fixture_tools import NAME, PNG, Fixture, asks, says, task
from tests.tools_service.task_stand_ins import TASKS, Refused, client
from tests.tools_service.test_tokens import token
from tests.tools_service.tool_stand_ins import Gate, Stand
from tools_service.config import ToolsServiceConfig
from tools_service.service import assemble, running
from tools_service.tools.registry import (
    Annotations,
    Arguments,
    Context,
    Output,
    Progress,
    Schema,
)

ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
PLAIN = Annotations(False, False, False)
COUNT: Schema = {
    "type": "object",
    "properties": {"count": {"type": "integer"}},
    "required": ["count"],
}


async def greet(arguments: Arguments, context: Context) -> Output:
    return Output(f"Hello, {context.inputs.answers['user']['content']}")


async def count(arguments: Arguments, context: Context) -> Output:
    for done in (1, 2, 3):
        await context.tell(Progress(done, 3))
    return Output("counted")


TOOLS = [
    Fixture("ask", asks("answered", "a state", name=NAME)),
    Fixture("needs", greet, annotations=Annotations(False, False, False, needs={"user": NAME})),
    Fixture("task", greet, annotations=task("required", {"user": NAME})),
    Fixture("count", count),
    Fixture("lies", says(Output("3", {"count": "three"})), output_schema=COUNT),
    Fixture("silent", says(Output("3")), output_schema=COUNT),
    Fixture("honest", says(Output("3", {"count": 3})), output_schema=COUNT),
    Fixture(
        "draws", says(Output("", blocks=[{"type": "image", "data": PNG, "mimeType": "image/png"}]))
    ),
]


def built(**settings: object) -> Stand:
    config = ToolsServiceConfig.model_validate({"port": 0, "shutdown_s": 0, **settings})
    gate = Gate()
    return Stand(assemble(config, [gate, *TOOLS], CollectorRegistry()), gate)


@pytest.fixture
async def service() -> AsyncIterator[Stand]:
    made = built()
    async with asyncio.timeout(240), running(made.parts) as made.url:
        yield made


async def ada(context: Any, params: ElicitRequestParams) -> ElicitResult:
    """A user who says her name."""
    return ElicitResult(action="accept", content={"name": "Ada"})


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@ERAS
@pytest.mark.parametrize("tool", ["ask", "needs"])
async def test_a_tool_asks_the_user_of_the_client(service: Stand, era: str, tool: str) -> None:
    async with Client(service.mcp, mode=era, elicitation_callback=ada) as asked:
        result = await asked.call_tool(tool, {})
    assert "Ada" in text(result)
    assert service.parts.executor.running == 0


@pytest.mark.parametrize("tool", ["ask", "needs", "task"])
async def test_a_client_that_cannot_be_asked_is_told_what_is_missing(
    service: Stand, tool: str
) -> None:
    async with client(service.url, sampling={}, extensions={TASKS: {}}) as mute:
        with pytest.raises(Refused) as refused:
            await mute.call(tool)
    assert refused.value.code == -32021
    assert refused.value.data == {"requiredCapabilities": {"elicitation": {}}}


async def test_any_replica_goes_on_with_what_another_began_for_the_same_caller() -> None:
    one, two, other = built(token="secret"), built(token="secret"), built(token="other")
    async with (
        asyncio.timeout(240),
        running(one.parts) as first,
        running(two.parts) as second,
        running(other.parts) as third,
        client(first, token(sub="a")) as begun,
        client(second, token(sub="a")) as same,
        client(second, token(sub="b")) as thief,
        client(third, "other") as stranger,
    ):
        asked = await begun.call("ask")
        assert "a state" not in asked["requestState"]
        more = {
            "name": "ask",
            "arguments": {},
            "requestState": asked["requestState"],
            "inputResponses": {"name": {"action": "accept", "content": {"name": "Ada"}}},
        }
        assert "Ada" in (await same.ask("tools/call", **more))["content"][0]["text"]
        for somebody in (thief, stranger):
            with pytest.raises(Refused, match="requestState") as refused:
                await somebody.ask("tools/call", **more)
            assert refused.value.code == -32602


@pytest.mark.parametrize("tool", ["lies", "silent"])
async def test_a_result_that_breaks_its_schema_is_the_tools_bug(
    service: Stand, tool: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(service.mcp) as mcp:
        with caplog.at_level(logging.ERROR, "tools_service.executor"):
            broken = await mcp.call_tool(tool, {})
        assert (await mcp.call_tool("honest", {})).structured_content == {"count": 3}
    assert broken.is_error
    assert text(broken) == f"error: {tool} failed unexpectedly (BadOutput)"
    assert f"tool {tool} raised" in caplog.text
    assert service.metric("calls_total", tool=tool, outcome="error") == 1


@ERAS
async def test_a_tools_own_progress_reaches_who_asked_for_it(service: Stand, era: str) -> None:
    told: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total))

    async with Client(service.mcp, mode=era) as mcp:
        await mcp.call_tool("count", {}, progress_callback=note)
    assert told == [(0, None), (1, 3), (2, 3), (3, 3)]


@ERAS
async def test_an_image_comes_without_an_empty_text(service: Stand, era: str) -> None:
    async with Client(service.mcp, mode=era) as mcp:
        drawn = await mcp.call_tool("draws", {})
    assert [content.type for content in drawn.content] == ["image"]


@ERAS
async def test_a_trace_context_is_let_through(service: Stand, era: str) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    meta: Any = {"traceparent": trace, "tracestate": "vendor=1", "baggage": "a=b"}
    async with Client(service.mcp, mode=era) as mcp:
        assert not (await mcp.call_tool("honest", {}, meta=meta)).is_error


@ERAS
async def test_the_list_has_the_same_order_every_time(service: Stand, era: str) -> None:
    async with Client(service.mcp, mode=era) as mcp:
        lists = [[tool.name for tool in (await mcp.list_tools()).tools] for _ in range(3)]
    assert lists == [sorted(lists[0])] * 3
    assert "gate" in lists[0]
