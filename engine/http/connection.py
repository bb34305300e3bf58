"""One keep-alive connection to a server: HTTP/1.1 over httptools.

Ours, because it is the hot path: a general client spends on one request and its chunks as much as
the rest of the gateway together.
"""

import asyncio
from typing import cast

import httptools

from engine.errors import EngineAway

READ_AHEAD = 2**16
HEAD_LIMIT = 2**16
FINAL = 200
NEVER = float("inf")


class Connection(asyncio.Protocol):
    """Carries one request after the other; bytes of a body are read as they come.

    `due_s` is when, by the loop's clock, the server has been waited for too long.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: EngineAway | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._paused = False
        self._complete = True
        self.due_s = NEVER
        self.idle_since_s = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}

    @property
    def is_reusable(self) -> bool:
        """Whether the last reply has ended and another request may follow."""
        return self._complete and self._error is None and self._transport is not None

    # What the network says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for the first request."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a segment of a reply."""
        if self._complete:
            self.fail("sent what nobody asked for")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"does not speak HTTP/1.1: {error}")
            return
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has gone, which ends a body of no told length."""
        self._transport = None
        told = {"content-length", "transfer-encoding"} & self.headers.keys()
        if exc is None and self.status and not told:
            self._complete = True
        if self._error is None:
            self._error = EngineAway(f"{self._server} closed the connection")
        self._wake()

    # What the parser says

    def on_message_begin(self) -> None:
        """A reply begins, which must be that to a request."""
        if self._complete:
            raise httptools.HttpParserError("a reply without a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head."""
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_LIMIT:
            raise httptools.HttpParserError("the head is too large")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        status = self._parser.get_status_code()
        if status >= FINAL:
            self.status = status

    def on_body(self, data: bytes) -> None:
        """Part of the body."""
        self._body.append(data)
        self._size += len(data)
        if self._size > READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The reply has ended, unless it was an interim one."""
        if self.status:
            self._complete = True
            if not self._parser.should_keep_alive():
                self._error = EngineAway(f"{self._server} closed the connection")

    # What we do

    def send(self, request: bytes, due_s: float) -> None:
        """Begin a request. Raises EngineAway."""
        if self._transport is None or self._transport.is_closing():
            raise EngineAway(f"{self._server} closed the connection")
        self.status, self._head_size, self._size = 0, 0, 0
        self.headers = {}
        self._body = []
        self._complete = False
        self.due_s = due_s
        self._transport.write(request)

    async def head(self) -> int:
        """The status, once the head is whole. Raises EngineAway."""
        while not self.status:
            await self._wait()
        return self.status

    async def piece(self) -> bytes:
        """What has arrived of the body, at least a byte; empty at its end. Raises EngineAway."""
        while not self._body:
            if self._complete:
                return b""
            await self._wait()
        body = self._body
        self._body, self._size = [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return body[0] if len(body) == 1 else b"".join(body)

    def fail(self, said: str, kind: type[EngineAway] = EngineAway) -> None:
        """Give the connection up; who reads from it is told why."""
        if self._error is None:
            self._error = kind(f"{self._server} {said}")
        self.close()
        self._wake()

    def close(self) -> None:
        """Hang up at once."""
        self.due_s = NEVER
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
