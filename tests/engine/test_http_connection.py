"""HTTP/1.1 as servers speak it, well and badly."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import HttpBounds
from engine.errors import EngineAway, EngineBusy
from engine.http.client import Client
from engine.http.framing import Framing, payload

OK = b"HTTP/1.1 200 OK\r\n"
SIZED = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
UNTOLD = OK + b"\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Plays one script for each connection; counts them."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Semaphore(0)
        self.talks: list[asyncio.Task[None]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        if (task := asyncio.current_task()) is not None:
            self.talks.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        self.requests.append(head + await reader.readexactly(size))
        self.asked.release()


@asynccontextmanager
async def talking(server: Server, **bounds: object) -> AsyncGenerator[Client]:
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    client = Client("far", f"http://{host}:{port}/v1/", "k", HttpBounds.model_validate(bounds))
    await client.open()
    async with asyncio.timeout(20):
        yield client
    await client.close()
    listening.close()
    await listening.wait_closed()
    await asyncio.gather(*server.talks)


def replies(server_reply: bytes, *, size: int = 10**6, close: bool = False) -> Script:
    """Answers every request with these bytes, cut into pieces of that size."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for at in range(0, len(server_reply), size):
                writer.write(server_reply[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return script


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("reply", "close"), [(SIZED, False), (CHUNKED, False), (UNTOLD, True), (INTERIM, False)]
)
async def test_a_body_is_whole_however_it_is_framed_and_cut(
    reply: bytes, close: bool, size: int
) -> None:
    server = Server(replies(reply, size=size, close=close))
    async with talking(server) as client:
        for _ in range(3):
            assert await client.get("/x", 100, 10) == (200, b"hello")
    assert server.connections == (3 if close else 1)


async def test_a_request_says_what_it_must() -> None:
    server = Server()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(SIZED)
        await writer.drain()

    server = Server(script)
    async with talking(server) as client, client.post("/v1/x", b"{}", "7", 5) as reply:
        assert (reply.status, await reply.whole(100)) == (200, b"hello")
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"authorization: Bearer k\r\n" in head
    assert b"x-request-id: 7\r\n" in head
    assert body == b"{}"


async def test_a_body_over_the_limit_is_cut_off_and_its_connection_left() -> None:
    server = Server(replies(SIZED))
    async with talking(server) as client:
        assert await client.get("/x", 3, 10) == (200, b"hel")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"", "closed the connection"),
        (OK[:9], "closed the connection"),
        (OK + b"Content-Length: 9\r\n\r\nhello", "closed the connection"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", "closed the connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "does not speak HTTP"),
    ],
)
async def test_what_is_no_whole_reply_is_an_error(reply: bytes, said: str) -> None:
    async with talking(Server(replies(reply, close=True))) as client:
        with pytest.raises(EngineAway, match=said):
            await client.get("/x", 100, 10)


async def test_what_comes_after_a_reply_is_nobodys_answer() -> None:
    server = Server(replies(SIZED + SIZED.replace(b"hello", b"other")))
    async with talking(server) as client:
        for _ in range(3):
            assert await client.get("/x", 100, 10) == (200, b"hello")
    assert server.connections == 3


async def test_a_connection_that_was_left_in_the_middle_is_not_used_again() -> None:
    server = Server(replies(OK + b"Content-Length: 9\r\n\r\nhello"), replies(SIZED))
    async with talking(server) as client:
        async with client.post("/x", b"", "7", 5) as reply:
            assert await reply.piece() == b"hello"
        assert await client.get("/x", 100, 10) == (200, b"hello")
    assert server.connections == 2


async def test_a_connection_whose_reply_says_close_is_not_used_again() -> None:
    server = Server(replies(SIZED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    async with talking(server) as client:
        for _ in range(2):
            assert await client.get("/x", 100, 10) == (200, b"hello")
    assert server.connections == 2


async def test_connections_are_bounded_and_their_places_given_on() -> None:
    gate, server = asyncio.Event(), Server()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            await gate.wait()
            writer.write(SIZED)
            await writer.drain()

    server = Server(script)
    async with talking(server, connections=2) as client:
        asking = [asyncio.create_task(client.get("/x", 100, 10)) for _ in range(2)]
        for _ in asking:
            await server.asked.acquire()
        with pytest.raises(EngineBusy, match="2 requests already"):
            await client.get("/x", 100, 10)
        asking[0].cancel()
        await asyncio.wait([asking[0]])
        gate.set()
        assert await asking[1] == (200, b"hello")
        assert await client.get("/x", 100, 10) == (200, b"hello")
    assert server.connections == 2


@given(st.lists(st.binary(max_size=9)), st.integers(1, 9), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_whole_wherever_they_are_cut(
    texts: list[bytes], size: int, ending: bytes
) -> None:
    said = [text.replace(b"\n", b" ").replace(b"\r", b" ").strip() for text in texts]
    stream = b"".join(b"data: " + text + ending * 2 for text in said)
    framing, whole = Framing("far"), b""
    for at in range(0, len(stream), size):
        whole += framing.whole(stream[at : at + size])
        assert not whole or whole.endswith(b"\n\n")
    assert [payload(event) for event in whole.split(b"\n\n")[:-1]] == said
    assert framing.is_clean
