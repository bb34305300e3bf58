"""The tools service's part of a trace, as other MCP clients and servers see it."""

import asyncio
import sys
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientSession
from mcp import Client
from mcp_types import RequestParamsMeta

from tests.parts.collector import collecting
from tests.tools_service.tool_stand_ins import Trial, stand
from tests.tools_service.upstream_stand_ins import front, stdio
from tools_service.errors import ConfigError
from tools_service.service import running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{PARENT}-01"
META = cast(RequestParamsMeta, {"traceparent": CALLER})


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_trace_goes_on_to_the_servers_behind_tools(
    era: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), collecting() as seen:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.url)
        async with (
            front(tmp_path / "pins.json", fx=stdio()) as service,
            Client(service.mcp, mode=era) as client,
        ):
            result = await client.call_tool("fx_surroundings", {}, meta=META)
    call, run = seen.one("tools/call fx_surroundings"), seen.one("run")
    assert (call.trace_id, call.parent, call.kind) == (TRACE, PARENT, "server")
    assert result.structured_content is not None
    assert result.structured_content["trace"] == f"00-{TRACE}-{run.id}-01"
    assert len(seen.spans) == 3, "nothing but the call, its wait and its run"


async def test_without_tracing_the_servers_behind_tools_see_the_callers_trace(
    tmp_path: Path,
) -> None:
    async with (
        asyncio.timeout(60),
        front(tmp_path / "pins.json", fx=stdio()) as service,
        Client(service.mcp) as client,
    ):
        result = await client.call_tool("fx_surroundings", {}, meta=META)
    assert result.structured_content is not None
    assert result.structured_content["trace"] == CALLER


async def test_a_trace_in_the_http_headers_is_continued_too() -> None:
    call = {"name": "calculate", "arguments": {"expression": "1 + 1"}}
    about = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    message = {"id": 1, "method": "tools/call", "params": {**call, "_meta": about}}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "calculate",
        "traceparent": CALLER,
    }
    async with asyncio.timeout(30), collecting() as seen:
        tools = stand(tracing={"endpoint": f"{seen.url}/v1/traces"}, shutdown_s=0)
        async with running(tools.parts) as url, ClientSession(headers=headers) as http:
            answer = await http.post(f"{url}/mcp", json={"jsonrpc": "2.0", **message})
            assert answer.status == 200, await answer.text()
            await answer.read()
    assert seen.one("tools/call calculate").parent == PARENT


async def test_a_call_that_joins_another_is_a_span_of_its_own_without_a_run() -> None:
    trial = Trial()
    async with asyncio.timeout(30), collecting() as seen:
        tools = stand(trial, tracing={"endpoint": seen.url}, shutdown_s=0, hedge={"share": 0})
        async with (
            running(tools.parts) as url,
            Client(f"{url}/mcp") as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(client.call_tool("trial", {}, meta=META))
            run = await trial.begun.get()
            group.create_task(client.call_tool("trial", {}, meta=META))
            while tools.parts.executor.calls < 2:
                await asyncio.wait([run.end], timeout=0.01)
            run.answers()
    calls = [span for span in seen.spans if span.name == "tools/call trial"]
    by_shared = {call.attributes["roundhouse.shared"]: call for call in calls}
    assert seen.children(by_shared[False]) == ["wait", "run"]
    assert seen.children(by_shared[True]) == []


async def test_a_failed_call_is_a_failed_span_that_says_how() -> None:
    async with asyncio.timeout(30), collecting() as seen:
        tools = stand(tracing={"endpoint": seen.url, "sample_ratio": 1}, shutdown_s=0)
        async with running(tools.parts) as url, Client(f"{url}/mcp") as client:
            await client.call_tool("act", {"text": "fail"})
            await client.call_tool("user's own words", {})
    failed, unknown = seen.one("tools/call act"), seen.one("tools/call unknown")
    assert failed.failed and failed.attributes["error.type"] == "error"
    assert seen.children(failed) == ["wait", "run"]
    assert unknown.failed and "user's" not in str(unknown)


async def test_a_share_of_none_records_nothing() -> None:
    async with asyncio.timeout(30), collecting() as seen:
        tools = stand(tracing={"endpoint": seen.url, "sample_ratio": 0}, shutdown_s=0)
        async with running(tools.parts) as url, Client(f"{url}/mcp") as client:
            await client.call_tool("calculate", {"expression": "1 + 1"})
    assert seen.spans == []


def test_an_endpoint_without_the_library_stops_the_service_and_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "telemetry.otel", None)  # as if it could not be imported
    with pytest.raises(ConfigError, match=r"roundhouse\[otel\]"):
        stand(tracing={"endpoint": "http://127.0.0.1:9"})
