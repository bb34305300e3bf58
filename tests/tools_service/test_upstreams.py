"""Other MCP servers behind ours, over every transport and in both eras."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import ImageContent

from tests.tools_service.upstream_stand_ins import TOOLS, Front, front, over_http, stdio, upstream
from tools_service.tools.registry import Progress


@pytest.fixture(scope="module", params=["stdio", "http", "http-legacy", "sse"])
async def fronted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Front]:
    kind, _, era = request.param.partition("-")
    pins = tmp_path_factory.mktemp("pins") / "pins.json"
    async with AsyncExitStack() as stack:
        if kind == "stdio":
            settings = stdio()
        else:
            port = await stack.enter_async_context(upstream(kind))
            settings = over_http(kind, port, era=era or "auto")
        yield await stack.enter_async_context(front(pins, fx=settings))


async def test_its_tools_are_served_under_its_name(fronted: Front) -> None:
    assert fronted.names == sorted(["calculate", *(f"fx_{name}" for name in TOOLS)])
    echo = fronted.parts.registry.find("fx_echo")
    assert echo.description == "Say it back."
    assert echo.input_schema["required"] == ["text"]
    assert echo.upstream == "fx"
    assert fronted.metric("upstream_up", upstream="fx") == 1


async def test_text_and_structured_results_come_through(fronted: Front) -> None:
    said = await fronted.call("fx_echo", text="hello")
    added = await fronted.call("fx_add", a=1, b=2)
    assert (said.outcome, added.structured) == ("ok", {"sum": 3})
    assert '<untrusted origin="fx_echo: fx"' in said.text
    assert "\nhello\n" in said.text


async def test_a_picture_comes_through_our_own_socket(fronted: Front) -> None:
    async with Client(fronted.mcp) as client:
        result = await client.call_tool("fx_picture", {})
    (picture,) = [block for block in result.content if isinstance(block, ImageContent)]
    assert picture.mime_type == "image/png"
    assert base64.b64decode(picture.data) == b"not really a picture"


async def test_its_complaint_is_a_failed_result_marked_as_not_ours(fronted: Front) -> None:
    failed = await fronted.call("fx_fail")
    assert failed.outcome == "error"
    assert failed.text.startswith("error: the tool failed\n<untrusted")
    assert "no such thing" in failed.text


async def test_arguments_are_checked_before_it_is_asked(fronted: Front) -> None:
    wrong = await fronted.call("fx_add", a="one", b=2)
    assert wrong.text == "error: a: 'one' is not of type 'integer'"


async def test_progress_is_passed_on_and_a_cancelled_call_stops_there(fronted: Front) -> None:
    told: list[Progress] = []
    begun = asyncio.Event()

    async def tell(progress: Progress) -> None:
        told.append(progress)
        begun.set()

    async with asyncio.timeout(240):
        call = asyncio.create_task(fronted.call("fx_hang", tell))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        stopped = await fronted.call("fx_cancelled")
    assert told == [Progress(1, 2, "half way")]
    assert call.cancelled()
    assert stopped.outcome == "ok"


async def test_calls_run_beside_each_other_on_one_connection(fronted: Front) -> None:
    texts = [f"number {count}" for count in range(20)]
    answers = await asyncio.gather(*(fronted.call("fx_echo", text=text) for text in texts))
    assert all(text in answer.text for text, answer in zip(texts, answers, strict=True))


@pytest.mark.parametrize("kind", ["http", "http-legacy", "sse"])
async def test_a_death_ends_calls_with_one_error_and_a_restart_is_found(
    kind: str, tmp_path: Path
) -> None:
    kind, _, era = kind.partition("-")
    async with asyncio.timeout(240), AsyncExitStack() as stack:
        async with upstream(kind) as port:
            settings = over_http(kind, port, era=era or "auto")
            served = await stack.enter_async_context(front(tmp_path / "pins.json", fx=settings))
            await _die(served)
        down = await served.call("fx_echo", text="a")
        assert down.text == "error: upstream fx is down; try again later"
        assert served.metric("upstream_up", upstream="fx") == 0
        assert "fx_echo" in served.names
        await stack.enter_async_context(upstream(kind, port))
        await served.log.until("upstream fx is connected")
        assert (await served.call("fx_echo", text="back")).outcome == "ok"
        assert served.metric("upstream_up", upstream="fx") == 1
        assert served.metric("upstream_reconnects_total", upstream="fx") > 0


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_death_is_noticed_while_nobody_calls(kind: str, tmp_path: Path) -> None:
    async with asyncio.timeout(240), AsyncExitStack() as stack:
        async with upstream(kind) as port:
            settings = over_http(kind, port, refresh_s=3600)
            served = await stack.enter_async_context(front(tmp_path / "pins.json", fx=settings))
            await served.log.until("upstream fx is connected")
        await served.log.until("upstream fx is down: ")
        assert served.metric("upstream_up", upstream="fx") == 0


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    async with asyncio.timeout(240), front(tmp_path / "pins.json", fx=stdio()) as served:
        await _die(served)
        await served.log.until("upstream fx is connected")
        assert (await served.call("fx_echo", text="back")).outcome == "ok"


async def _die(served: Front) -> None:
    begun = asyncio.Event()

    async def tell(progress: Progress) -> None:
        begun.set()

    beside = asyncio.create_task(served.call("fx_hang", tell))
    await begun.wait()
    dying = await served.call("fx_die")
    assert dying.text.startswith("error: the connection to upstream fx broke during the call")
    assert (await beside).text == dying.text
    await served.log.until("upstream fx is down: ")
