"""The three ways to another MCP server, and what the SDK's own transports leave to us."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED

from telemetry.redact import redact
from tools_service.tools.upstream import lines
from tools_service.upstream_config import UpstreamConfig

logger = logging.getLogger(__name__)

Streams = tuple[Any, Any]  # the SDK's own types for these are private
Transport = AbstractAsyncContextManager[Streams]

UNREACHED = "not reached"
"""The message of an error that was made here because nothing went out."""

_LONGEST_LINE = 2000
_LARGEST_BODY = 4 * 1024 * 1024
_LAST_WORDS_S = 0.5
_FAREWELL_S = 2.0
_FOR_EVER_S = 1e7
_NOTHING_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
# The SDK keeps the status to itself. Others of 400 and more belong to finding out the era.
_TELLING = frozenset({401, 403, 429, *range(500, 600)})
_CHILD = ("-I", "-S", str(Path(__file__).with_name("child.py")))
_LOCALE = ("LANG", "LC_ALL")


def transport(
    name: str, config: UpstreamConfig, environ: Mapping[str, str], ended: Callable[[], None]
) -> Transport:
    """The connection that the settings describe; `ended` is called when it breaks off."""
    if config.transport == "stdio":
        return _watched(_stdio(name, config, environ), ended)
    headers = _headers(config, environ)
    url = config.url or ""
    if config.transport == "sse":
        # Its one stream lives as long as the connection, however quiet.
        stream = sse_client(url, headers, config.connect_s, _FOR_EVER_S)
        return _watched(stream, ended)
    return _http(name, url, headers, config.connect_s)


def _headers(config: UpstreamConfig, environ: Mapping[str, str]) -> dict[str, str]:
    # Unpacked, a body could be of any size.
    headers = {"Accept-Encoding": "identity"}
    headers |= {header: environ[variable] for header, variable in config.header_env.items()}
    if config.token_env is not None:
        headers["Authorization"] = f"Bearer {environ[config.token_env]}"
    return headers


@asynccontextmanager
async def _http(
    name: str, url: str, headers: dict[str, str], connect_s: float
) -> AsyncIterator[Streams]:
    # Reading may take as long as a call; the executor bounds that.
    timeout = httpx2.Timeout(connect_s, read=None)
    async with (
        _Contained(name, headers=headers, timeout=timeout) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


class _Contained(httpx2.AsyncClient):
    """A client whose broken connections are answers, so that they end one call only, and whose
    answers are bounded.

    To the SDK an exception ends the whole client, with all calls that are under way.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self._name = name

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method == "DELETE":
            # The end of a session: nothing may wait for a server that hangs.
            request.extensions["timeout"] = httpx2.Timeout(_FAREWELL_S).as_dict()
        try:
            response = await super().send(request, **options)
        except httpx2.TransportError as exc:
            reached = not isinstance(exc, _NOTHING_SENT)
            message = type(exc).__name__ if reached else UNREACHED
            error = {"code": CONNECTION_CLOSED, "message": message}
            body = {"jsonrpc": "2.0", "id": None, "error": error}
            return httpx2.Response(502, json=body, request=request)
        if response.status_code in _TELLING:
            logger.warning("upstream %s answers with status %d", self._name, response.status_code)
        if "content-encoding" in response.headers:
            await response.aclose()
            return httpx2.Response(502, request=request)
        if response.headers.get("content-type", "").startswith("application/json"):
            response.stream = _Capped(response.stream)
        return response


class _Capped(httpx2.AsyncByteStream):
    """A body that is refused once it is too large. Events are bounded by the SDK."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _LARGEST_BODY
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.StreamError(f"more than {_LARGEST_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def _stdio(
    name: str, config: UpstreamConfig, environ: Mapping[str, str]
) -> AsyncIterator[Streams]:
    """The SDK starts it as the leader of a process group and ends the group with the block; if we
    are killed, `child.py` sees to it."""
    given = [*config.env, *(variable for variable in _LOCALE if variable in environ)]
    parameters = StdioServerParameters(
        command=sys.executable,
        args=[*_CHILD, str(os.getpid()), config.command or "", *config.args],
        env={variable: environ[variable] for variable in given},
        cwd=config.cwd,
        encoding=lines.ENCODING,
        encoding_error_handler="replace",
    )
    secrets = tuple(environ[variable] for variable in config.env)
    async with (
        _logged(name, secrets) as stderr,
        stdio_client(parameters, errlog=stderr) as streams,
    ):
        yield streams


@asynccontextmanager
async def _logged(name: str, secrets: tuple[str, ...]) -> AsyncIterator[Any]:
    """A file for a child's stderr, whose lines become lines of our log."""
    words = _Lines(lambda line: logger.info("upstream %s: %s", name, redact(line, secrets)))
    source, sink = _pipe()
    with source, sink:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: words, source)
        try:
            yield sink
        finally:
            try:
                sink.close()
                await words.last()
            finally:
                pipe.close()


def _pipe() -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe()
    return FileIO(reading, "r"), FileIO(writing, "w")


class _Lines(asyncio.Protocol):
    """Cuts a stream into lines, a bounded one at a time."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._ended = asyncio.Event()
        self._tell = tell
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            if line.strip():
                self._tell(line[:_LONGEST_LINE].decode(errors="replace").rstrip())

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()

    async def last(self) -> None:
        """Waits a moment for a dead child's last words: they say why it died."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._ended.wait()


@asynccontextmanager
async def _watched(transport: Transport, ended: Callable[[], None]) -> AsyncIterator[Streams]:
    """The same streams; nobody else is told that the other side has gone while nothing is asked."""
    async with transport as (reading, writing):
        yield _Watched(reading, ended), writing


class _Watched:
    """A read stream that reports its end."""

    def __init__(self, stream: Any, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._ended = ended

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise

    async def __aenter__(self) -> "_Watched":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> Any:
        return await self._stream.__aexit__(*exc)
