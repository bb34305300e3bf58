"""The gateway's client against tools services that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import ToolsDown
from gateway.events import ToolOutcome, ToolStarted
from gateway.tool_client import ToolClient, ToolClientConfig

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def collect(client: ToolClient, timeout_s: float = 10.0) -> list[ToolStarted | ToolOutcome]:
    calls = client.call("gate", {}, session="s", group=None, timeout_s=timeout_s)
    return [event async for event in calls]


@asynccontextmanager
async def misbehaving(handler: Handler, **settings: float) -> AsyncIterator[ToolClient]:
    app = web.Application()
    app.router.add_post("/mcp", handler)
    server = TestServer(app)
    await server.start_server()
    config = ToolClientConfig(str(server.make_url("/mcp")), timeout_s=settings.get("timeout_s", 5))
    try:
        async with asyncio.timeout(20), ToolClient(config) as tools:
            yield tools
    finally:
        await server.close()


def saying(body: str, content_type: str = "application/json", status: int = 200) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type=content_type, status=status)

    return handler


RESULT = '{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'
EVENTS = "text/event-stream"


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (saying("not json"), "nonsense"),
        (saying("[]"), "nonsense"),
        (saying('{"id":1,"result":5}'), "nonsense"),
        (saying(RESULT.replace("1,", "99,")), "another question"),
        (saying('{"id":1,"error":{"code":-1,"message":"no"}}', status=400), "refused: no"),
        (saying("{}"), "without a result"),
        (saying("", EVENTS), "without a result"),
        (saying(": ping\n\n", EVENTS), "without a result"),
        (saying(f"data: {RESULT}", EVENTS), "without a result"),
        (saying("data: {\n\n", EVENTS), "nonsense"),
        (saying("<html>", "text/html"), "text/html"),
        (saying("", status=302), "302"),
        (saying(RESULT, status=503), "503"),
        (saying("x" * (5 * 1024 * 1024)), "more than"),
        (saying("data: " + "x" * (5 * 1024 * 1024), EVENTS), "more than"),
    ],
)
async def test_nonsense_is_a_service_that_is_down(handler: Handler, reason: str) -> None:
    async with misbehaving(handler) as tools:
        with pytest.raises(ToolsDown, match=reason):
            await collect(tools)


async def test_an_answer_of_another_mcp_server_is_understood() -> None:
    result = {
        "content": [{"type": "text", "text": "ä"}, {"type": "image", "data": ""}],
        "isError": True,
    }
    note = '{"method":"notifications/message","params":{"level":"info"}}'
    answer = json.dumps({"id": 1, "result": result})
    body = f"event: message\r\ndata: {note}\r\n\r\n: ping\r\n\r\ndata: {answer}\r\n\r\n"
    async with misbehaving(saying(body, EVENTS)) as tools:
        (done,) = await collect(tools)
    assert isinstance(done, ToolOutcome)
    assert (done.text, done.failed, done.outcome) == ("ä\n[image left out]", True, "error")
    assert (done.expected_s, done.size) == (None, 19)


async def test_a_service_that_does_not_answer_is_a_timeout_for_the_model() -> None:
    async def silence(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with misbehaving(silence, timeout_s=0.01) as tools:
        (done,) = await collect(tools, timeout_s=0.01)
        assert isinstance(done, ToolOutcome)
        assert (done.outcome, done.failed, done.expected_s) == ("timeout", True, None)
        with pytest.raises(ToolsDown, match="in time"):
            await tools.tools()


async def test_a_lost_connection_is_a_service_that_is_down() -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with misbehaving(hang_up) as tools:
        with pytest.raises(ToolsDown):
            await collect(tools)


async def test_the_list_of_tools_is_tried_twice_and_a_call_once() -> None:
    asked: list[str] = []

    async def failing(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["mcp-method"])
        return web.Response(status=500)

    async with misbehaving(failing) as tools:
        with pytest.raises(ToolsDown):
            await tools.tools()
        with pytest.raises(ToolsDown):
            await collect(tools)
    assert asked == ["tools/list", "tools/list", "tools/call"]


async def test_all_who_wait_for_the_list_share_its_failure() -> None:
    asked: list[str] = []

    async def failing(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["mcp-method"])
        return web.Response(status=500)

    async with misbehaving(failing) as tools:
        ends = await asyncio.gather(*(tools.tools() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(end, ToolsDown) for end in ends)
    assert len(asked) == 2


async def test_a_list_in_pages_is_read_to_its_end_and_one_without_end_is_not() -> None:
    pages = iter(range(1000))

    async def paging(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = next(pages)
        cursor = {} if number == 2 else {"nextCursor": str(number)}
        assert (
            body["params"].get("cursor") == (str(number - 1) if number % 20 else None) or number > 2
        )
        result = {"tools": [{"name": f"t{number}", "inputSchema": {}}], **cursor}
        return web.json_response({"id": body["id"], "result": result})

    async with misbehaving(paging) as tools:
        assert [spec.name for spec in await tools.tools()] == ["t0", "t1", "t2"]
    async with misbehaving(paging) as tools:
        with pytest.raises(ToolsDown, match="no end"):
            await tools.tools()
