"""Trusted execution as an MCP client sees it, in both protocol eras and on a real socket."""

import asyncio
import json
from pathlib import Path

from mcp import Client
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import TextContent

from tests.tools_service.test_mcp_server import ERAS, runtime, text
from tests.tools_service.tool_stand_ins import Stand, Trial, stand
from tools_service.errors import Transient
from tools_service.service import running
from tools_service.tools.registry import Output, Progress


@ERAS
async def test_identical_calls_of_two_clients_are_one_run_that_tells_both(era: str) -> None:
    built, seen = stand(shutdown_s=0), asyncio.Queue[str]()

    def listening(name: str) -> ProgressFnT:
        async def note(progress: float, total: float | None, message: str | None) -> None:
            seen.put_nowait(f"{name} {message}")

        return note

    async with (
        asyncio.timeout(20),
        running(built.parts) as url,
        Client(f"{url}/mcp", mode=era) as one,
        Client(f"{url}/mcp", mode=era) as other,
    ):
        calls = []
        for name, client in (("one", one), ("other", other)):
            call = client.call_tool("gate", {}, progress_callback=listening(name))
            calls.append(asyncio.create_task(call))
            assert await seen.get() == f"{name} started"
        (context,) = built.gate.seen
        await context.tell(Progress(1.0, message="half"))
        assert {await seen.get(), await seen.get()} == {"one half", "other half"}
        built.gate.opened.set()
        results = await asyncio.gather(*calls)
    assert [text(result) for result in results] == ["opened", "opened"]
    assert [runtime(result)["shared"] for result in results] == [False, True]
    assert built.metric("followers_total", tool="gate") == 1


@ERAS
async def test_a_run_goes_on_while_one_client_of_it_is_left(service: Stand, era: str) -> None:
    async with (
        asyncio.timeout(20),
        Client(service.mcp, mode=era) as one,
        Client(service.mcp, mode=era) as other,
    ):
        leaving = asyncio.create_task(one.call_tool("gate", {}))
        await service.gate.started.wait()
        staying = asyncio.create_task(other.call_tool("gate", {}))
        while service.parts.executor.calls < 2:
            await asyncio.wait([staying], timeout=0.01)
        leaving.cancel()
        while service.parts.executor.calls > 1:
            await asyncio.wait([staying], timeout=0.01)
        assert not service.gate.stopped.is_set()
        service.gate.opened.set()
        assert text(await staying) == "opened"


@ERAS
async def test_what_was_tried_again_and_what_is_refused_is_told_in_the_result(era: str) -> None:
    tool = Trial()
    settings = {"breaker": {"calls": 3}, "retry": {"attempts": 2, "pause_s": 0.001}}
    built = stand(tool, shutdown_s=0, hedge={"share": 0}, **settings)
    async with (
        asyncio.timeout(20),
        running(built.parts) as url,
        Client(f"{url}/mcp", mode=era) as client,
    ):
        mended = asyncio.create_task(client.call_tool("trial", {}))
        (await tool.begun.get()).fails(Transient("busy"))
        (await tool.begun.get()).answers()
        told = runtime(await mended)
        assert (told["attempts"], told["outcome"], told["hedged"]) == (2, "ok", False)
        failing = asyncio.create_task(client.call_tool("trial", {}))
        (await tool.begun.get()).fails(Transient("busy"))
        assert text(await failing) == "error: busy"
        refused = await client.call_tool("trial", {})
    assert "web keeps failing" in text(refused)
    assert runtime(refused)["outcome"] == "refused"


async def test_attachments_too_large_for_the_wire_are_left_out_and_it_is_said() -> None:
    tool = Trial()
    built = stand(tool, shutdown_s=0)
    image = {"type": "image", "mimeType": "image/png"}
    blocks = [{**image, "data": "AAAA"}, {**image, "data": "A" * 500_000}]
    async with asyncio.timeout(20), running(built.parts) as url, Client(f"{url}/mcp") as client:
        call = asyncio.create_task(client.call_tool("trial", {}))
        (await tool.begun.get()).end.set_result(Output("seen", blocks=blocks))
        result = await call
    said, kept = result.content
    assert isinstance(said, TextContent)
    assert said.text.endswith("[truncated: 1 of 2 attachments were too large]")
    assert kept.type == "image"
    assert runtime(result)["truncated"]


async def test_the_audit_is_complete_when_the_service_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    built = stand(shutdown_s=0, audit={"path": path})
    async with asyncio.timeout(20):
        async with running(built.parts) as built.url:
            async with Client(built.mcp) as client:
                await client.call_tool("act", {"text": "hello"})
            call = asyncio.create_task(call_gate(built.mcp))
            await built.gate.started.wait()
        await asyncio.wait([call])
    assert call.exception() is not None
    outcomes = [json.loads(line)["outcome"] for line in path.read_text().splitlines()]
    assert outcomes == ["ok", "cancelled"]


async def call_gate(url: str) -> None:
    async with Client(url) as client:
        await client.call_tool("gate", {})
