"""The reverse proxies of deploy/proxy: streams flow, headers pass, who leaves is noticed."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from tests.deploy.proxies import PROGRAMS, proxied
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import served

pytestmark = pytest.mark.parametrize("proxy", PROGRAMS)

CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
KEYS = {"authorization": "Bearer sesame"}
BOUND_S = 40.0  # only so that a hanging test ends


class Reader:
    """Reads a stream as far as it has come."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream
        self._read = b""

    async def until(self, words: bytes) -> None:
        """Read until they come."""
        while words not in self._read:
            piece = await self._stream.readany()
            assert piece, self._read
            self._read += piece


async def test_a_token_arrives_before_the_next_one_is_made(proxy: str, tmp_path: Path) -> None:
    """The second is only made after the client has seen the first: a buffer would wait for ever."""
    gates = [asyncio.Event(), asyncio.Event()]
    engine = ScriptedEngine(turn(text("one "), gates[0], text("two "), gates[1], text("three")))
    async with (
        asyncio.timeout(BOUND_S),
        served(engine) as it,
        proxied(proxy, it.url.removeprefix("http://"), tmp_path) as front,
        it.http.post(f"{front.url}/v1/chat/completions", json=CHAT, ssl=front.trust()) as answer,
    ):
        assert answer.status == 200
        reader = Reader(answer.content)
        await reader.until(b"one ")
        gates[0].set()
        await reader.until(b"two ")
        gates[1].set()
        await reader.until(b"three")
        await reader.until(b"[DONE]")


async def test_headers_pass_both_ways(proxy: str, tmp_path: Path) -> None:
    engine = ScriptedEngine(turn(text("yes")))
    async with (
        asyncio.timeout(BOUND_S),
        served(engine, api_keys=["sesame"]) as it,
        proxied(proxy, it.url.removeprefix("http://"), tmp_path) as front,
    ):
        url, trust = f"{front.url}/v1/chat/completions", front.trust()
        async with it.http.post(url, json=CHAT, ssl=trust) as refused:
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        for name in ("x-roundhouse-session", "x-session-id", "session_id"):
            said = KEYS | {name: f"my-{name}"}
            async with it.http.post(url, json=CHAT, headers=said, ssl=trust) as answer:
                await answer.read()
            assert answer.headers["x-roundhouse-session"] == f"my-{name}"
            assert answer.headers["x-roundhouse-engine"] == "zero"
            assert answer.headers["x-request-id"].startswith("chatcmpl-")
            assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_stops_the_engine(
    proxy: str, stream: bool, tmp_path: Path
) -> None:
    engine = ScriptedEngine(turn(text("one "), asyncio.Event()))
    async with (
        asyncio.timeout(BOUND_S),
        served(engine) as it,
        proxied(proxy, it.url.removeprefix("http://"), tmp_path) as front,
    ):
        # By hand: a client that says goodbye in TLS and keeps the TCP connection has not left yet.
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", front.port, ssl=front.trust(), server_hostname="127.0.0.1"
        )
        body = json.dumps(CHAT | {"stream": stream}).encode()
        host = f"Host: 127.0.0.1:{front.port}"
        head = f"{host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        await engine.asked.wait()
        if stream:
            await reader.readuntil(b"one ")
        writer.transport.abort()
        await engine.left.wait()
    assert it.outcomes() == {"disconnected": 1}


async def test_what_is_not_for_clients_is_not_to_be_had(proxy: str, tmp_path: Path) -> None:
    async with (
        asyncio.timeout(BOUND_S),
        served(ScriptedEngine(turn(text("x")))) as it,
        proxied(proxy, it.url.removeprefix("http://"), tmp_path) as front,
    ):
        for path in ("/metrics", "/readyz", "/status", "/docs", "/"):
            async with it.http.get(front.url + path, ssl=front.trust()) as answer:
                assert answer.status == 404
        async with it.http.get(f"{front.url}/v1/models", ssl=front.trust()) as answer:
            assert answer.status == 200


async def test_a_body_that_is_too_large_is_refused_by_the_gateway_itself(
    proxy: str, tmp_path: Path
) -> None:
    async with (
        asyncio.timeout(BOUND_S),
        served(ScriptedEngine(turn(text("x"))), body_mib=0.1) as it,
        proxied(proxy, it.url.removeprefix("http://"), tmp_path) as front,
    ):
        body = CHAT | {"user": "x" * (200 << 10)}
        url = f"{front.url}/v1/chat/completions"
        async with it.http.post(url, json=body, ssl=front.trust()) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["code"] == "request_too_large"
