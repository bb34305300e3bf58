"""The short way of requests that generate speaks HTTP/1.1 as the long one does."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from engine.types import Usage
from gateway.front import Connection
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import Served, served

ANSWER = turn(text("so"), usage=Usage(3, 2))
BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
PATH = "/v1/chat/completions"


def request(path: str = PATH, body: bytes = BODY, version: str = "1.1", *fields: str) -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: here", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


@asynccontextmanager
async def connected(
    it: Served,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*it.url.removeprefix("http://").split(":"))
    try:
        async with asyncio.timeout(5):
            yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in head[1:-2])
    length = int(fields.get("content-length", 0))
    return int(head[0].split()[1]), fields, await reader.readexactly(length)


async def test_requests_that_do_not_wait_for_answers_are_answered_in_order() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *ANSWER], ANSWER)
    async with served(engine) as it, connected(it) as (reader, writer):
        names = ("first", "second", "third")
        for name in names:
            writer.write(request(PATH, BODY, "1.1", f"x-session-id: {name}"))
        page = "GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"
        writer.write(page.encode())
        await engine.asked.wait()
        gate.set()
        told = [await answer(reader) for _ in names]
        assert [fields["x-roundhouse-session"] for _, fields, _ in told] == list(names)
        assert (await answer(reader))[0] == 200


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        head, _, body = request(PATH, BODY, "1.1", "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize("field", ["Connection: close", "X-Nothing: more"])
async def test_a_connection_is_kept_unless_its_client_wants_it_closed(field: str) -> None:
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        writer.write(request(PATH, BODY, "1.1", field))
        status, fields, _ = await answer(reader)
        assert status == 200
        if field == "Connection: close":
            assert fields["connection"] == "close"
            assert await reader.read() == b""
        else:
            writer.write(request())
            assert (await answer(reader))[0] == 200


async def test_the_old_protocol_gets_its_answer_and_the_end() -> None:
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        writer.write(request(PATH, BODY, "1.0"))
        assert (await answer(reader))[0] == 200
        assert await reader.read() == b""


@pytest.mark.parametrize(
    "target", [f"{PATH}?x=1", "/v1/chat%2Fcompletions", f"http://here{PATH}?x=1"]
)
async def test_a_target_is_understood_however_it_is_written(target: str) -> None:
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        writer.write(request(target))
        assert (await answer(reader))[0] == 200


async def test_a_body_in_pieces_is_read_whole_and_one_too_large_ends_nothing_else() -> None:
    async with served(ScriptedEngine(ANSWER), body_mib=1) as it, connected(it) as (reader, writer):
        large = b'{"messages": [' + b" " * 2**20 + BODY[14:]
        for body, expected in ((large, 413), (BODY, 200), (large[: 2**19] + BODY, 400)):
            whole = request(PATH, body)
            for at in range(0, len(whole), 50_000):
                writer.write(whole[at : at + 50_000])
                await writer.drain()
            assert (await answer(reader))[0] == expected


async def test_a_body_of_chunks_is_read_whole() -> None:
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        head = f"POST {PATH} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        for at in range(0, len(BODY), 10):
            piece = BODY[at : at + 10]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        assert (await answer(reader))[0] == 200


async def test_a_client_that_goes_before_its_body_is_whole_is_counted_as_gone() -> None:
    async with served(ScriptedEngine(ANSWER)) as it:
        async with connected(it) as (_, writer):
            writer.write(request()[:-5])
            await writer.drain()
        async with asyncio.timeout(5):
            while it.outcomes() != {"disconnected": 1}:
                await it.ask("GET", "/livez")


async def test_a_client_that_goes_after_a_large_body_is_seen_to_go() -> None:
    engine = ScriptedEngine([asyncio.Event(), *ANSWER])
    large = json.dumps({"messages": [{"role": "user", "content": "hi " * 200_000}]}).encode()
    async with served(engine) as it:
        async with connected(it) as (_, writer):
            writer.write(request(PATH, large))
            await engine.asked.wait()
        async with asyncio.timeout(5):
            await engine.left.wait()
            while it.outcomes() != {"disconnected": 1}:
                await it.ask("GET", "/livez")


async def test_an_idle_connection_outlives_those_of_clients_and_proxies() -> None:
    """It was closed after 5 s, when OpenAI's client was just about to use it again."""
    async with served(ScriptedEngine(ANSWER)) as it, connected(it) as (reader, writer):
        writer.write(request())
        assert (await answer(reader))[0] == 200
        (connection,) = it.server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection.timeout_keep_alive_task is not None
        left_s = connection.timeout_keep_alive_task.when() - asyncio.get_running_loop().time()
        assert left_s > 60


async def test_other_methods_are_refused_by_the_page() -> None:
    async with served(ScriptedEngine(ANSWER)) as it:
        refused = await it.ask("GET", PATH)
        assert (refused.status, refused.error["code"]) == (405, "method_not_allowed")
