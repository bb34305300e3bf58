"""The service as an MCP client sees it, in both protocol eras and on a real socket."""

import asyncio
import json
import socket
from typing import Any, cast

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, RequestParamsMeta, TextContent

from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.config import ToolsServiceConfig
from tools_service.service import listen, running

ERAS = pytest.mark.parametrize("era", ["legacy", "2026-07-28"])


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def runtime(result: CallToolResult) -> dict[str, Any]:
    assert result.meta is not None
    found: dict[str, Any] = result.meta["roundhouse/runtime"]
    return found


def described(group: object) -> RequestParamsMeta:
    return cast(RequestParamsMeta, {"roundhouse/group": group})


@ERAS
async def test_the_tools_are_listed_in_order_with_their_hints(service: Stand, era: str) -> None:
    async with Client(service.mcp, mode=era) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["act", "calculate", "gate"]
    hints = tools[1].annotations
    assert hints is not None
    assert (hints.read_only_hint, hints.open_world_hint) == (True, False)
    assert tools[1].output_schema is not None


@ERAS
async def test_a_result_comes_with_what_the_table_knows(service: Stand, era: str) -> None:
    async with Client(service.mcp, mode=era) as client:
        first = await client.call_tool("calculate", {"expression": "6 * 7"})
        second = await client.call_tool("calculate", {"expression": "7 * 6"})
    assert text(first) == '{"result": 42}'
    assert first.structured_content == {"result": 42}
    assert not first.is_error
    told = runtime(second)
    low_s, high_s = told["expected_s"]
    assert 0 < low_s < told["mean_s"] < high_s
    assert (told["outcome"], told["samples"], told["shape"]) == ("ok", 1, "size:4")
    assert told["wait_s"] >= 0
    assert told["run_s"] > 0


@ERAS
async def test_a_failed_call_is_a_result_the_model_can_read(service: Stand, era: str) -> None:
    async with Client(service.mcp, mode=era) as client:
        failed = await client.call_tool("calculate", {"expression": "1/0"})
        unknown = await client.call_tool("nothing", {})
        wrong = await client.call_tool("calculate", {"expr": "1"})
    assert failed.is_error
    assert text(failed) == "error: division by zero"
    assert text(unknown).startswith("error: unknown tool 'nothing'")
    assert text(wrong).startswith("error: arguments: ")
    assert runtime(unknown) == {
        "expected_s": None,
        "mean_s": None,
        "wait_s": 0.0,
        "run_s": 0.0,
        "outcome": "error",
        "shape": None,
        "samples": 0,
        "truncated": False,
        "predicted_wait_s": None,
        "attempts": 0,
        "hedged": False,
        "shared": False,
        "cached": False,
    }


async def test_a_deadline_that_cannot_be_met_is_refused_with_the_predicted_wait() -> None:
    built = stand(slots=1, per_tool={"gate": {"expected_s": (5.0, 5.0)}}, shutdown_s=0)
    meta = described({"id": "g", "deadline_s": 4.0})
    async with asyncio.timeout(10), running(built.parts) as url, Client(f"{url}/mcp") as client:
        holder = asyncio.create_task(client.call_tool("gate", {}))
        await built.gate.started.wait()
        refused = await client.call_tool("gate", {"other": 1}, meta=meta)
        built.gate.opened.set()
        await holder
    assert refused.is_error
    assert "about 5.0 s, longer than the 4.0 s left" in text(refused)
    assert runtime(refused)["outcome"] == "refused"
    assert runtime(refused)["predicted_wait_s"] == pytest.approx(5.0, rel=0.01)


@ERAS
async def test_the_start_is_told_while_the_tool_still_runs(service: Stand, era: str) -> None:
    told = asyncio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert (progress, message) == (0, "started")
        told.set()

    async with asyncio.timeout(10), Client(service.mcp, mode=era) as client:
        call = asyncio.create_task(client.call_tool("gate", {}, progress_callback=note))
        await told.wait()
        assert not call.done()
        service.gate.opened.set()
        assert text(await call) == "opened"


@ERAS
async def test_a_client_that_gives_up_stops_the_tool(service: Stand, era: str) -> None:
    async with asyncio.timeout(10), Client(service.mcp, mode=era) as client:
        call = asyncio.create_task(client.call_tool("gate", {}))
        await service.gate.started.wait()
        call.cancel()
        await service.gate.stopped.wait()
        service.gate.opened.set()
        assert text(await client.call_tool("gate", {})) == "opened"
    assert service.metric("calls_total", tool="gate", outcome="cancelled") == 1


@ERAS
async def test_a_group_is_read_and_a_wrong_one_refused(service: Stand, era: str) -> None:
    service.gate.opened.set()
    async with Client(service.mcp, mode=era) as client:
        group = {"id": "g", "size": 2, "session": "s", "deadline_s": 5, "weight": 2.5}
        await client.call_tool("gate", {}, meta=described(group))
        wrongs: tuple[object, ...] = ({"size": 0}, {"id": 5}, {"deadline_s": -1}, [], "g")
        for wrong in wrongs:
            with pytest.raises(MCPError, match="roundhouse/group"):
                await client.call_tool("gate", {}, meta=described(wrong))
    assert [seen.session for seen in service.gate.seen] == ["s"]


async def test_only_who_knows_the_token_may_call_or_look() -> None:
    built = stand(token="secret")
    async with running(built.parts) as built.url:
        for path in ("/mcp", "/runtimes"):
            assert (await built.get(path))[0] == 401
            assert (await built.get(path, authorization="Bearer wrong"))[0] == 401
            assert (await built.get(path, authorization="Bearer secret\xe9"))[0] == 401
        assert (await built.get("/runtimes", authorization="Bearer secret"))[0] == 200
        assert (await built.get("/mcp", authorization="Bearer secret"))[0] != 401
        assert (await built.get("/health"))[0] == 200


async def test_a_name_from_the_settings_is_answered_and_a_strange_one_is_not() -> None:
    built = stand(allowed_hosts=["tools"])
    async with running(built.parts) as built.url:
        misdirected = [
            (await built.get("/mcp", host=host))[0] == 421
            for host in ("tools", "tools:8001", "localhost:1", "evil.example")
        ]
    assert misdirected == [False, False, False, True]


async def test_the_table_can_be_looked_at(service: Stand) -> None:
    async with Client(service.mcp) as client:
        await client.call_tool("act", {"text": "hello"})
    status, body = await service.get("/runtimes")
    lines = json.loads(body)["runtimes"]
    assert status == 200
    assert [(line["tool"], line["shape"], line["samples"]) for line in lines] == [
        ("act", "*", 1),
        ("act", "hello", 1),
    ]
    assert lines[0]["p10_s"] < lines[0]["p50_s"] < lines[0]["p90_s"]


async def test_the_metrics_can_be_scraped(service: Stand) -> None:
    async with Client(service.mcp) as client:
        await client.call_tool("act", {"text": "hello"})
    status, body = await service.get("/metrics")
    assert status == 200
    assert 'roundhouse_tools_service_calls_total{outcome="ok",tool="act"} 1.0' in body
    # What has not happened is there with 0: Prometheus sees no growth in what begins with 1.
    assert 'roundhouse_tools_service_retries_total{tool="gate"} 0.0' in body
    assert "hello" not in body


async def test_the_process_and_its_event_loop_are_watched(service: Stand) -> None:
    async with asyncio.timeout(20):
        while not service.parts.prometheus.get_sample_value("roundhouse_event_loop_lag_seconds"):
            await service.get("/health")
    shown = (await service.get("/metrics"))[1]
    assert "# TYPE roundhouse_event_loop_lag_seconds gauge" in shown
    assert "process_start_time_seconds " in shown


async def test_a_draining_service_says_so_and_takes_no_calls(service: Stand) -> None:
    assert json.loads((await service.get("/health"))[1]) == {
        "status": "ok",
        "running": 0,
        "waiting": 0,
    }
    await service.parts.executor.drain(0)
    status, body = await service.get("/health")
    assert (status, json.loads(body)["status"]) == (503, "draining")
    async with Client(service.mcp) as client:
        with pytest.raises(MCPError, match="shutting down"):
            await client.call_tool("act", {"text": "hello"})


async def test_stopping_waits_for_a_call_in_flight() -> None:
    built = stand(shutdown_s=20)
    async with asyncio.timeout(10):
        async with running(built.parts) as built.url:
            call = asyncio.create_task(_call_gate(built.mcp))
            await built.gate.started.wait()
            opening = asyncio.create_task(_open_when_draining(built))
        await opening
        assert await call == "opened"


async def test_stopping_cancels_what_does_not_end() -> None:
    built = stand(shutdown_s=0)
    async with asyncio.timeout(10):
        async with running(built.parts) as built.url:
            call = asyncio.create_task(_call_gate(built.mcp))
            await built.gate.started.wait()
        assert built.gate.stopped.is_set()
        await asyncio.wait([call])
    assert call.exception() is not None


async def _call_gate(url: str) -> str:
    async with Client(url, mode="2026-07-28") as client:
        # Or the client asks for the schemas after the call, of a service that may have stopped.
        await client.list_tools()
        return text(await client.call_tool("gate", {}))


async def _open_when_draining(built: Stand) -> None:
    while (await built.get("/health"))[0] != 503:
        pass
    built.gate.opened.set()


def test_the_socket_names_its_protocol() -> None:
    """asyncio left Nagle on for a socket that did not, and every answer took 40 ms."""
    with listen(ToolsServiceConfig(port=0)) as sock:
        assert sock.proto == socket.IPPROTO_TCP
