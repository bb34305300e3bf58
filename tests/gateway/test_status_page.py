"""Who may see the status page, and what comes over its stream."""

import asyncio
import socket
from contextlib import AsyncExitStack
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import msgspec
import pytest
from starlette.requests import Request

from gateway.access import Access, Admin
from gateway.api.page import COOKIE, FILES, LIFE_S, WATCHERS, Gate
from gateway.errors import Unauthorized
from gateway.overview import STEP_S, Overview
from tests.parts.clock import Clock
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hello"))
ADMIN = {"authorization": "Bearer boss"}


async def view(it: Served, **headers: str) -> dict[str, Any]:
    """The first event of the stream."""
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    async with asyncio.timeout(30), it.http.get(it.url + "/status/events", headers=said) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        line = await answer.content.readline()
    decoded: dict[str, Any] = msgspec.json.decode(line.removeprefix(b"data: "))
    return decoded


async def test_the_page_and_its_files_are_safe_to_show_to_anybody() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["k"]) as it:
        for path in ("", *(f"/{name}" for name in FILES)):
            answer = await it.ask("GET", f"/status{path}")
            policy = answer.headers["content-security-policy"]
            assert answer.status == 200 and answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in policy and "unsafe" not in policy
        assert (await it.ask("GET", "/status/../app.py")).status == 404
        assert (await it.ask("GET", "/status/secret")).error["code"] == "unknown_url"
    assert not [name for name, data in FILES.items() if b"innerHTML" in data or b"onclick" in data]


async def test_engines_sessions_and_troubles_are_in_the_view() -> None:
    engine = ScriptedEngine(HELLO)
    engine.kv_used_ratio = 0.25
    async with served(engine) as it:
        await it.chat(session_id="s")
        await it.chat(session_id="s", model="nobody")
        seen = await view(it)
    (shown,) = seen["engines"]
    assert (shown["name"], shown["state"], shown["kv_used_ratio"]) == ("zero", "well", 0.25)
    (session,) = seen["sessions"]
    assert (session["id"], session["engine"], len(session["entries"])) == ("s", "zero", 1)
    assert [trouble["error"]["code"] for trouble in seen["troubles"]] == ["model_not_found"]
    assert seen["tools"] == {"state": "none"}


async def test_tools_are_in_the_view_and_so_is_a_service_that_is_down() -> None:
    async with (
        tools_service(ScriptedTool()) as url,
        served(ScriptedEngine(HELLO), tools={"url": url}) as it,
    ):
        tools = (await view(it))["tools"]
        assert (tools["state"], tools["runtimes"][0]["tool"]) == ("ok", "search")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"
    async with served(ScriptedEngine(HELLO), tools={"url": url}) as it:
        tools = (await view(it))["tools"]
    assert tools["state"] == "down" and tools["message"]
    async with (
        served(ScriptedEngine(HELLO)) as other,
        served(ScriptedEngine(HELLO), tools={"url": f"{other.url}/mcp"}) as it,
    ):
        tools = (await view(it))["tools"]
    assert tools == {"state": "down", "message": "the tools service answered 404 for /runtimes"}


async def test_without_keys_only_a_browser_at_the_machine_itself_may_look() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        assert (await view(it))["sessions"] == []
        # A site whose name leads here, so that its script could read what this browser may.
        for host in ("evil.example", "evil.localhost.example:8000", "[", "127.0.0.1.nip.example"):
            assert (await it.ask("GET", "/status/events", host=host)).status == 401


async def test_without_the_operators_key_nobody_with_a_clients_key_may_look() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["k"]) as it:
        for headers in ({}, {"authorization": "Bearer k"}, {"cookie": f"{COOKIE}=9999999999.x"}):
            assert (await it.ask("GET", "/status/events", **headers)).status == 401
            assert (await it.ask("POST", "/status/login", **headers)).status == 401


async def test_the_operators_key_opens_the_page_and_becomes_a_cookie() -> None:
    async with served(ScriptedEngine(HELLO), admin_key="boss") as it:
        assert (await it.ask("GET", "/status/events")).status == 401
        assert (await it.ask("POST", "/status/login", authorization="Bearer x")).status == 401
        assert (await view(it, **ADMIN))["sessions"] == []
        answer = await it.ask("POST", "/status/login", **ADMIN)
        cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (
            True,
            "strict",
            "/status",
        )
        assert "boss" not in cookie.value and not cookie["secure"]
        it.http.cookie_jar.clear()
        assert (await view(it, cookie=f"{COOKIE}={cookie.value}"))["sessions"] == []
        # It opens this page alone.
        refused = await it.ask("GET", "/v1/engines", cookie=f"{COOKIE}={cookie.value}")
        assert refused.status == 401


async def test_behind_tls_the_cookie_is_sent_over_tls_only() -> None:
    async with served(ScriptedEngine(HELLO), admin_key="boss") as it:
        answer = await it.ask("POST", "/status/login", **ADMIN, x_forwarded_proto="https")
    assert SimpleCookie(answer.headers["set-cookie"])[COOKIE]["secure"]


def shows(cookie: str) -> Request:
    headers = [(b"cookie", f"{COOKIE}={cookie}".encode("latin-1")), (b"host", b"localhost")]
    client = ("127.0.0.1", 1)
    return Request({"type": "http", "headers": headers, "client": client, "path": "/"})


def test_a_ticket_ends_and_cannot_be_written_by_others() -> None:
    clock = Clock(1_000_000)
    gate = Gate(Access({}), Admin("boss"), clock)
    ticket = gate.ticket()
    gate.admit(shows(ticket))
    expires, _, signature = ticket.partition(".")
    forged = [
        f"{int(expires) + 1}.{signature}",
        f"{expires}.",
        expires,
        "",
        "x.y",
        "²." + signature,
        Gate(Access({}), Admin("other"), clock).ticket(),
    ]
    for shown in forged:
        with pytest.raises(Unauthorized):
            gate.admit(shows(shown))
    clock.now_s += LIFE_S
    with pytest.raises(Unauthorized):
        gate.admit(shows(ticket))


async def test_so_many_may_watch_and_one_more_when_one_has_gone() -> None:
    async with served(ScriptedEngine(HELLO)) as it, asyncio.timeout(60):
        url = it.url + "/status/events"
        async with AsyncExitStack() as watching:
            for _ in range(WATCHERS):
                answer = await watching.enter_async_context(it.http.get(url))
                await answer.content.readline()
            refused = await it.ask("GET", "/status/events")
            assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        while (await _status(it.http, url)) != 200:  # noqa: ASYNC110  # the server notices later
            await asyncio.sleep(0.05)


async def _status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        return answer.status


async def test_the_stream_ends_when_the_gateway_stops() -> None:
    async with (
        asyncio.timeout(30),
        served(ScriptedEngine(HELLO)) as it,
        it.http.get(it.url + "/status/events") as answer,
    ):
        await answer.content.readline()
        await it.gateway.stop()
        await answer.read()
        assert (await it.ask("GET", "/status/events")).error["code"] == "shutting_down"


async def test_all_who_watch_at_once_cost_one_look() -> None:
    clock = Clock()
    async with served(ScriptedEngine(HELLO)) as it:
        overview = Overview(it.gateway.desk, it.gateway.timeline, None, clock)
        before = await overview.look()
        await it.chat(session_id="s")
        assert await overview.look() is before
        clock.now_s += STEP_S
        assert b'"s"' in await overview.look()
