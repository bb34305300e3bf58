"""The pool of connections to one server."""

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from engine.config import HttpBounds
from engine.errors import EngineAway, EngineBusy, EngineSilent
from engine.http.connection import NEVER, Connection

# uvicorn, and so vLLM and SGLang, closes a connection that was idle for 5 s: be quicker than it.
KEEPALIVE_S = 4.0
SWEEPS = 8
PORTS = {"http": 80, "https": 443}


class Exchange:
    """One request and its reply; leaving before the end of the reply hangs up."""

    def __init__(self, client: "Client", request: bytes, patience_s: float) -> None:
        self._client = client
        self._request = request
        self._patience_s = patience_s
        self._connection: Connection | None = None
        self.is_over = False
        """Set by who knows that nothing more is to come but the end."""

    async def __aenter__(self) -> Self:
        """Send the request and wait for the head of the reply. Raises EngineAway."""
        connection = self._connection = await self._client.take()
        try:
            connection.send(self._request, self._client.now() + self._patience_s)
            self.status = await connection.head()
        except BaseException:
            self._client.give_back(connection)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._connection is not None
        self._client.give_back(self._connection, ends=self.is_over)

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of the head, their names in lower case."""
        assert self._connection is not None
        return self._connection.headers

    async def piece(self, idle_s: float | None = None) -> bytes:
        """What has arrived, at least a byte; empty at the end. Raises EngineAway.

        `idle_s` is waited for it; without it, what is left of the request's patience.
        """
        connection = self._connection
        assert connection is not None
        if idle_s is None:
            return await connection.piece()
        connection.due_s = self._client.now() + idle_s
        data = await connection.piece()
        connection.due_s = NEVER  # a client that reads slowly is not the server's fault
        return data

    async def whole(self, limit: int) -> bytes:
        """The whole body, cut off at `limit` bytes. Raises EngineAway."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (part := await self.piece()):
            parts.append(part)
            size += len(part)
        return (parts[0] if len(parts) == 1 else b"".join(parts))[:limit]


class Client:
    """Requests to one server. Raises EngineAway for whatever the network does."""

    def __init__(self, name: str, url: str, key: str | None, bounds: HttpBounds) -> None:
        self._server = f"engine '{name}'"
        self._bounds = bounds
        parts = urlsplit(url)
        self._root = parts.path.rstrip("/").removesuffix("/v1")
        self._host = parts.hostname or ""
        self._port = parts.port or PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        said = f" HTTP/1.1\r\nhost: {parts.netloc.rpartition('@')[2]}\r\naccept-encoding: identity"
        if key is not None:
            said += f"\r\nauthorization: Bearer {key}"
        self._said = said
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._taken = 0
        self._sweep_s = min(bounds.first_byte_s, bounds.idle_s, bounds.answer_s) / SWEEPS
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = False

    def now(self) -> float:
        """The loop's clock."""
        assert self._loop is not None
        return self._loop.time()

    async def open(self) -> None:
        """Make the pool; nothing is dialled yet."""
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._sweep()

    async def close(self) -> None:
        """Cut every connection; what still reads from one gets EngineAway."""
        self._is_open = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in [*self._busy, *self._idle]:
            connection.fail("was left: the gateway stops")
        self._idle.clear()
        await asyncio.sleep(0)  # transports tell their end in the next turn of the loop

    def post(self, path: str, body: bytes, request_id: str, patience_s: float) -> Exchange:
        """A request; `patience_s` is how long the reply may take to begin, or to be whole."""
        head = (
            f"POST {self._root}{path}{self._said}\r\nx-request-id: {request_id}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return Exchange(self, head.encode("latin-1") + body, patience_s)

    async def get(self, path: str, limit: int, patience_s: float) -> tuple[int, bytes]:
        """Status and body of a small page."""
        head = f"GET {self._root}{path}{self._said}\r\n\r\n"
        async with Exchange(self, head.encode("latin-1"), patience_s) as reply:
            return reply.status, await reply.whole(limit)

    async def take(self) -> Connection:
        """A connection for one request, to be given back. Raises EngineAway and EngineBusy."""
        if not self._is_open:
            raise EngineAway(f"{self._server} is not running")
        if self._taken >= self._bounds.connections:
            raise EngineBusy(f"{self._server} has {self._taken} requests already")
        self._taken += 1
        try:
            connection = self._fresh() or await self._dial()
        except BaseException:
            self._taken -= 1
            raise
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection, *, ends: bool = False) -> None:
        """For the next request, unless the reply was left before its end.

        `ends`: the end is on its way, and will be there before the next request is.
        """
        self._busy.discard(connection)
        self._taken -= 1
        if (connection.is_reusable or ends) and self._is_open:
            connection.due_s = NEVER
            connection.idle_since_s = self.now()
            self._idle.append(connection)
        else:
            connection.close()

    def _fresh(self) -> Connection | None:
        """The connection that was used last, if the server keeps it still."""
        horizon_s = self.now() - KEEPALIVE_S
        for index in range(len(self._idle) - 1, -1, -1):
            connection = self._idle[index]
            if connection.idle_since_s < horizon_s:
                break  # all before it are older, and the next sweep takes them
            if connection.is_reusable:
                del self._idle[index]
                return connection
        return None

    async def _dial(self) -> Connection:
        loop, timeout_s = asyncio.get_running_loop(), self._bounds.connect_s
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._server), self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise EngineAway(f"{self._server} took no call within {timeout_s:g} s") from error
        except OSError as error:
            raise EngineAway(f"{self._server} can't be reached: {error}") from error
        return connection

    def _sweep(self) -> None:
        """Give up on servers that are waited for too long: one timer for all requests."""
        assert self._loop is not None
        now_s = self._loop.time()
        for connection in [c for c in self._busy if c.due_s < now_s]:
            connection.fail("sent nothing for too long", EngineSilent)
        for connection in [c for c in self._idle if c.idle_since_s < now_s - KEEPALIVE_S]:
            self._idle.remove(connection)
            connection.close()
        self._sweeper = self._loop.call_later(min(self._sweep_s, KEEPALIVE_S), self._sweep)
