"""What an upstream can do wrong on the wire, and that it harms one call only."""

import asyncio
import gzip
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.tools_service.upstream_stand_ins import Front, front, over_http, upstream

Json = Mapping[str, object]

ANY = {"type": "object"}
CACHE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


@dataclass
class Raw:
    """A modern MCP server written by hand: each tool answers what the test says."""

    results: dict[str, object]
    tools: list[Json]
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        match body["method"]:
            case "server/discover":
                result: object = {
                    **CACHE,
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {}},
                }
            case "tools/list":
                result = {**CACHE, "tools": self.tools}
            case _:
                return await self.call(request, body)
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": result})

    async def call(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        name = body["params"]["name"]
        if name == "break":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if name == "wait":
            self.waiting.set()
            await self.go_on.wait()
        answer = {"jsonrpc": "2.0", "id": body["id"], **_dict(self.results[name])}
        if name == "packed":
            packed = gzip.compress(json.dumps(answer).encode())
            kind = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return web.Response(body=packed, headers=kind)
        return web.json_response(answer)


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def said(*content: Json, **more: object) -> Json:
    return {"result": {"resultType": "complete", "content": list(content), **more}}


def word(text: str) -> Json:
    return {"type": "text", "text": text}


@asynccontextmanager
async def raw(pins: Path, *tools: Json, **results: object) -> AsyncIterator[Any]:
    listed: list[Json] = [{"name": name, "inputSchema": ANY} for name in results if name != "_"]
    server = Raw(results, [*listed, *tools])
    app = web.Application()
    app.router.add_post("/mcp", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with (
            asyncio.timeout(240),
            front(pins, fx=over_http("http", port, tools="all", prefix="")) as served,
        ):
            yield served, server
    finally:
        await runner.cleanup()


async def test_a_broken_connection_ends_one_call_and_no_other(tmp_path: Path) -> None:
    async with raw(tmp_path / "p", **{"break": {}, "wait": said(word("done"))}) as (served, server):
        waiting = asyncio.create_task(served.call("wait"))
        await server.waiting.wait()
        broken = await served.call("break")
        server.go_on.set()
        assert "whether it took effect is not known" in broken.text
        assert "done" in (await waiting).text
        assert served.metric("upstream_reconnects_total", upstream="fx") == 0


async def test_answers_too_large_or_packed_end_one_call_and_no_other(tmp_path: Path) -> None:
    large = said(word("w" * 5_000_000))
    async with raw(tmp_path / "p", large=large, packed=said(), fine=said(word("ok"))) as (
        served,
        _,
    ):
        assert "more than 4194304 bytes" in (await served.call("large")).text
        assert (await served.call("packed")).outcome == "error"
        assert (await served.call("fine")).outcome == "ok"
        assert served.metric("upstream_reconnects_total", upstream="fx") == 0


async def test_what_cannot_be_seen_does_not_reach_a_model(tmp_path: Path) -> None:
    hidden = "seen\u200b\U000e0041"
    resource = {"type": "resource", "resource": {"uri": "a:b", "text": hidden}}
    described: Json = {
        "name": "sly",
        "description": hidden,
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": hidden, "enum": ["\r\n"]}},
        },
    }
    async with raw(tmp_path / "p", described, _=None) as (served, server):
        server.results["sly"] = said(word(hidden), resource)
        tool = served.parts.registry.find("sly")
        answer = await served.call("sly")
    assert tool.description == "seen"
    assert tool.input_schema["properties"]["a"] == {
        "type": "string",
        "description": "seen",
        "enum": ["\r\n"],
    }
    assert "\nseen\n" in answer.text
    assert answer.blocks[0]["resource"]["text"] == "seen"


@pytest.mark.parametrize(
    ("result", "part"),
    [
        ({"error": {"code": -32603, "message": "out of\u200b paper"}}, "out of paper"),
        ({"result": {"resultType": "complete", "content": "no list"}}, "it broke the protocol"),
        (said(word("why"), isError=True), "why"),
        (said(isError=True), "no reason given"),
        ({"result": {"resultType": "input_required", "inputRequests": {}}}, "the tool failed"),
    ],
)
async def test_what_is_no_result_is_a_failed_call(tmp_path: Path, result: Json, part: str) -> None:
    async with raw(tmp_path / "p", odd=result) as (served, _):
        answer = await served.call("odd")
        assert answer.outcome == "error"
        assert answer.text.startswith("error: the tool failed\n<untrusted")
        assert part in answer.text


async def test_a_result_that_breaks_its_own_schema_is_a_failed_call(tmp_path: Path) -> None:
    promised = {
        "name": "lies",
        "inputSchema": ANY,
        "outputSchema": {"type": "object", "required": ["sum"]},
    }
    lies = said(word("{}"), structuredContent={"total": 1})
    async with raw(tmp_path / "p", promised, _=None) as (served, server):
        server.results["lies"] = lies
        assert "'sum' is a required property" in (await served.call("lies")).text


async def test_blocks_are_bounded_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    large = {"type": "image", "mimeType": "image/png", "data": "A" * 600_000}
    small = {**large, "data": "AAAA"}
    async with raw(tmp_path / "p", draw=said(large, small, word("drawn"))) as (served, _):
        answer = await served.call("draw")
    assert [block["data"] for block in answer.blocks] == ["AAAA"]
    assert "drawn\n[left out: image of 6" in answer.text


async def test_a_server_that_forgot_the_session_costs_one_call(tmp_path: Path) -> None:
    async with asyncio.timeout(240), AsyncExitStack() as stack:
        async with upstream("http") as port:
            settings = over_http("http", port, era="legacy", refresh_s=3600)
            served = await stack.enter_async_context(front(tmp_path / "p", fx=settings))
            await served.log.until("upstream fx is connected")
        await stack.enter_async_context(upstream("http", port))
        assert (await served.call("fx_echo", text="a")).outcome == "error"
        await served.log.until("upstream fx is connected")
        assert (await served.call("fx_echo", text="a")).outcome == "ok"


async def test_a_server_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """The farewell to a session of the legacy era waited for its answer without a bound."""
    async with asyncio.timeout(240), upstream("http") as port:
        settings = over_http("http", port, era="legacy", refresh_s=3600)
        async with front(tmp_path / "p", fx=settings) as served:
            seen = (await served.call("fx_surroundings")).structured
            assert seen is not None
            assert isinstance(seen["pid"], int)
            os.kill(seen["pid"], signal.SIGSTOP)


async def test_tools_that_cannot_be_served_safely_are_named_in_the_log(tmp_path: Path) -> None:
    tools: list[Json] = [
        {"name": "n" * 80, "inputSchema": ANY},
        {"name": "wide", "description": "w" * 70_000, "inputSchema": ANY},
        {"name": "wrong", "inputSchema": {"type": "object", "required": 5}},
        {"name": "far", "inputSchema": {"type": "object", "$ref": "http://127.0.0.1:9/s.json"}},
        {"name": "calculate", "inputSchema": ANY},
        {"name": "a.b", "inputSchema": ANY},
        {"name": "a/b", "inputSchema": ANY},
        {"name": "adrift", "inputSchema": {"type": "object", "$ref": "#/$defs/nowhere"}},
    ]
    async with raw(tmp_path / "p", *tools, fine=said(word("ok"))) as (served, server):
        assert isinstance(served, Front)
        assert served.names == ["a_b", "adrift", "calculate", "fine"]
        assert served.parts.registry.find("calculate").upstream is None
        adrift = await served.call("adrift")
        assert adrift.text.startswith("error: the schema of adrift refers to nothing")

        # An unusual error calls for a look. That a/b has gone says nothing of a.b.
        kept = [tool for tool in server.tools if tool["name"] not in ("a/b", "adrift")]
        server.tools[:] = [*kept, {"name": "adrift", "inputSchema": ANY}]
        server.results["fine"] = {"error": {"code": -32050, "message": "look again"}}
        await served.call("fine")
        await served.log.until("adrift has changed to ")
        assert served.names == ["a_b", "calculate", "fine"]
    refused = [line for line in served.log.lines if "is not served" in line]
    for reason in (
        "more than 64 characters",
        "more than 65536 bytes",
        "wrong is not served: its input schema is no JSON schema",
        "far is not served: its input schema refers to another document",
        "calculate is not served: two tools are called 'calculate'",
        "a/b is not served: two tools are called 'a_b'",
    ):
        assert any(reason in line for line in refused), (reason, refused)
