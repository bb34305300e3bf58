"""Where requests come in: what makes tokens on a short way, all else through FastAPI."""

import asyncio
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias, cast

import httptools
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.api.exchange import TRACE_HEADER, Exchange
from gateway.api.generation import Generation
from telemetry.tracing import Unrecorded, trace_here

# Longer than clients and proxies keep theirs (httpx 5 s, nginx and load balancers 60 s): who asks
# again on a connection that is being closed gets no answer, and must not guess what became of it.
KEEPALIVE_S = 75

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Front:
    """The pages as an ASGI application, and the endpoints that generate by their paths.

    ASGI costs a generated answer, and every token of a stream, as much as the rest of its way out;
    so connections hand those requests on themselves.
    """

    def __init__(self, pages: FastAPI, hot: Mapping[str, Generation]) -> None:
        self.pages = pages
        self.hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request for a page."""
        await self.pages(scope, receive, traced(scope, send))

    def served(self, **settings: Any) -> uvicorn.Config:
        """uvicorn's settings to serve it, beside the given ones."""

        def connection(**parts: Any) -> HttpToolsProtocol:
            return Connection(self.hot, **parts)

        return uvicorn.Config(
            self,
            http=cast("type[asyncio.Protocol]", connection),  # it is only ever called
            lifespan="off",
            ws="none",
            access_log=False,
            timeout_keep_alive=KEEPALIVE_S,
            **settings,
        )


class Connection(HttpToolsProtocol):
    """uvicorn's connection; a request that generates is an `Exchange` instead of its own cycle."""

    def __init__(self, hot: Mapping[str, Generation], **parts: Any) -> None:
        super().__init__(**parts)
        self._hot = {path.encode(): endpoint for path, endpoint in hot.items()}

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        endpoint = None
        if self.parser.get_method() == b"POST":
            endpoint = self._hot.get(self.url) or self._hot.get(_path(self.url))
        if endpoint is None:
            super().on_headers_complete()
            return
        before = cast("Exchange | None", self.cycle)
        exchange = Exchange(
            self.headers,
            self.transport,
            self.flow,
            own=self.server_state.default_headers,
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
            expects_continue=self.expect_100_continue,
            on_response=self.on_response_complete,
        )
        self.cycle = cast("RequestResponseCycle", exchange)
        if before is None or before.response_complete:
            task = self.loop.create_task(exchange.run_asgi(endpoint))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)
        else:  # it has come before the answer to the one before it
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, cast("Any", endpoint)))


def _path(url: bytes) -> bytes:
    """The path of a request's target, in whatever form a client writes it."""
    path = httptools.parse_url(url).path or b""
    return urllib.parse.unquote_to_bytes(path) if b"%" in path else path


def traced(scope: Scope, send: Send) -> Send:
    """Marks the answer of what is not followed any further with an id of its trace."""
    if scope["type"] != "http":
        return send
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    trace_id = Unrecorded(said).trace_id
    trace_here.set(trace_id)

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            mark = (TRACE_HEADER.encode(), trace_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), mark]}
        await send(message)

    return marked
