"""The pooled connections to one server: the only importer of aiohttp on this side."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from engine.config import HttpBounds
from engine.errors import EngineAway

# uvicorn, and so vLLM and SGLang, closes a connection that was idle for 5 s: be quicker than it.
KEEPALIVE_S = 4.0
READ_AHEAD = 2**16


class Reply:
    """What the server answers, read once."""

    def __init__(self, response: aiohttp.ClientResponse, watch: "IdleWatch") -> None:
        self._content = response.content
        self._watch = watch
        self.status = response.status
        self.headers = response.headers

    async def piece(self) -> bytes:
        """What has arrived, at least a byte; empty at the end. Raises EngineAway."""
        watch = self._watch
        watch.begin()
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # aiohttp's word for a connection that was closed between two reads is RuntimeError.
            raise watch.explained(error) from error
        finally:
            watch.end()

    async def whole(self, limit: int) -> bytes:
        """The whole body, cut off at `limit` bytes. Raises EngineAway."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (part := await self.piece()):
            parts.append(part)
            size += len(part)
        return b"".join(parts)[:limit]


class IdleWatch:
    """Cuts a connection whose server has sent nothing for `idle_s` while we waited for it.

    One timer for many pieces: arming one anew for every piece costs more than passing it on.
    """

    def __init__(self, response: aiohttp.ClientResponse, server: str, idle_s: float) -> None:
        self._response = response
        self._server = server
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._since_s: float | None = None
        self._expired = False
        self._timer = self._loop.call_later(idle_s, self._look)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def begin(self) -> None:
        """We wait for the server from now on."""
        self._since_s = self._loop.time()

    def end(self) -> None:
        """We wait no longer: a client that reads slowly is not the server's fault."""
        self._since_s = None

    def explained(self, error: Exception) -> EngineAway:
        """What a failed read means."""
        if self._expired:
            return EngineAway(f"{self._server} sent nothing for {self._idle_s:g} s")
        return EngineAway(f"{self._server} broke off its answer: {_said(error)}")

    def _look(self) -> None:
        now_s = self._loop.time()
        since_s = now_s if self._since_s is None else self._since_s
        if now_s - since_s >= self._idle_s:
            self._expired = True
            self._response.close()
        else:
            self._timer = self._loop.call_at(since_s + self._idle_s, self._look)


class Client:
    """Requests to one server. Raises EngineAway for whatever the network does."""

    def __init__(self, name: str, url: str, key: str | None, bounds: HttpBounds) -> None:
        self._server = f"engine '{name}'"
        self._root = url.rstrip("/").removesuffix("/v1")
        self._key = key
        self._bounds = bounds
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; nothing is dialled yet."""
        headers = {"accept-encoding": "identity", "content-type": "application/json"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._bounds.connections, keepalive_timeout=KEEPALIVE_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._bounds.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            read_bufsize=READ_AHEAD,
        )

    async def close(self) -> None:
        """Cut every connection; what still reads from one gets EngineAway."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def post(
        self, path: str, body: bytes, request_id: str, idle_s: float
    ) -> AsyncGenerator[Reply]:
        """Send a request; leaving before the end of the reply closes the connection."""
        asking = self._pool().post(
            self._url(path),
            data=body,
            headers={"x-request-id": request_id},
            allow_redirects=False,
        )
        with self._explained():
            response = await asking
        async with response:
            with IdleWatch(response, self._server, idle_s) as watch:
                yield Reply(response, watch)

    async def get(self, path: str, limit: int) -> tuple[int, bytes]:
        """Status and body of a small page."""
        with self._explained():
            async with self._pool().get(self._url(path), allow_redirects=False) as response:
                with IdleWatch(response, self._server, self._bounds.idle_s) as watch:
                    return response.status, await Reply(response, watch).whole(limit)

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._root + path)
        return url

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise EngineAway(f"{self._server} is not running")
        return self._session

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            # The connect timeout is both a ClientError and a TimeoutError, which is an OSError.
            raise EngineAway(f"{self._server} can't be reached: {_said(error)}") from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
