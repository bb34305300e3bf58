"""An OpenAI-compatible server on a real socket that behaves as the test says."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from engine.config import EngineConfig
from engine.http.backend import HttpEngine

Manner: TypeAlias = Callable[
    ["Upstream", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]
]

USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1},
}


class Upstream:
    """One server. `manner` answers generations; `asked` are their bodies, probes left out."""

    def __init__(self, manner: Manner, metrics: str = "") -> None:
        self.manner = manner
        self.metrics = metrics
        self.info: object = None
        """What it says of itself beside the page, as SGLang does."""
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.probes = 0
        self.begun = asyncio.Event()
        self.left = asyncio.Event()
        self.sleeps: bool | None = None
        """Whether it sleeps, as vLLM in development mode tells; None: it knows nothing of it."""
        self.orders: list[str] = []
        """What it was ordered: paths and queries."""
        self.heeds = True
        """Whether it does what it is ordered."""
        self.woken = asyncio.Event()
        self.sent = 0
        """Bytes that the network took of `flood`."""

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = msgspec.json.decode(await request.read())
        if self.sleeps:
            self.woken.clear()
            await self.woken.wait()  # vLLM's scheduler is paused: whoever comes, waits
        if body.get("max_tokens") == 1:
            self.probes += 1
            if self.manner in ILL:
                return await self.manner(self, request, body)
            return web.json_response(whole(body))
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.begun.set()
        try:
            return await self.manner(self, request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def _models(self, request: web.Request) -> web.Response:
        cards = [{"id": "there", "object": "model", "max_model_len": 4096}]
        return web.json_response({"object": "list", "data": cards})

    async def _switch(self, request: web.Request) -> web.Response:
        if self.sleeps is None:
            return web.Response(status=404)
        self.orders.append(request.path_qs)
        if self.heeds:
            self.sleeps = request.path == "/sleep"
            self.woken.set()
        return web.json_response({"status": "sleeping" if self.sleeps else "awake"})

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        if self.sleeps is None:
            return web.Response(status=404)
        return web.json_response({"is_sleeping": self.sleeps})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics, status=200 if self.metrics else 404)

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(self.info, status=200 if self.info else 404)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncGenerator[None]:
        """Serve; stopping cuts every connection."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._generate)
        app.router.add_post("/v1/completions", self._generate)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/server_info", self._info)
        app.router.add_post("/sleep", self._switch)
        app.router.add_post("/wake_up", self._switch)
        app.router.add_get("/is_sleeping", self._is_sleeping)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        host, bound = runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"
        try:
            yield
        finally:
            await runner.cleanup()

    def engine(self, **settings: object) -> HttpEngine:
        """An engine that reaches this server."""
        said = {"name": "far", "kind": "http", "model": "there", "served_name": "here"}
        return HttpEngine(EngineConfig.model_validate({**said, "url": self.url, **settings}))


def whole(body: dict[str, Any], **message: object) -> dict[str, object]:
    """An answer that is not streamed."""
    said = {"role": "assistant", "content": "Hello", **message}
    choice = {"index": 0, "message": said, "text": "Hello", "finish_reason": "stop"}
    return {
        "id": "chatcmpl-there",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": USAGE,
    }


def line(body: object) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def chunk(*, model: str = "there", reason: str | None = None, **delta: object) -> bytes:
    """A chunk of a streamed chat."""
    choice = {"index": 0, "delta": delta, "text": delta.get("content", ""), "finish_reason": reason}
    head = {"id": "chatcmpl-there", "object": "chat.completion.chunk", "created": 1}
    return line({**head, "model": model, "choices": [choice]})


USAGE_CHUNK = line({"id": "chatcmpl-there", "model": "there", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"
HELLO = (
    chunk(role="assistant", content=""),
    chunk(content="Hel"),
    chunk(content="lo"),
    chunk(reason="stop"),
    USAGE_CHUNK,
    DONE,
)


async def opened(request: web.Request) -> web.StreamResponse:
    """A stream that has begun."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    return response


def says(pieces: Sequence[bytes | asyncio.Event] = HELLO, answer: object = None) -> Manner:
    """Streams these pieces, waiting for the events among them; or gives the whole answer."""

    async def manner(
        upstream: Upstream, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        if not body["stream"]:
            return web.json_response(answer or whole(body))
        response = await opened(request)
        for piece in pieces:
            if isinstance(piece, bytes):
                await response.write(piece)
            else:
                await piece.wait()
        await response.write_eof()
        return response

    return manner


def refuses(status: int, body: object, **headers: str) -> Manner:
    """Answers every generation with this."""

    async def manner(
        upstream: Upstream, request: web.Request, asked: dict[str, Any]
    ) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return web.Response(body=content, status=status, headers=headers)

    return manner


async def breaks_off(
    upstream: Upstream, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """Dies after the first words."""
    response = await opened(request)
    await response.write(HELLO[0] + HELLO[1] + HELLO[2][:20])
    assert request.transport is not None
    request.transport.abort()
    return response


async def hangs_up(
    upstream: Upstream, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """Closes the connection without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(
    upstream: Upstream, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("waited for ever")


async def floods(
    upstream: Upstream, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """Writes as fast as it is read, without end."""
    response = await opened(request)
    piece = chunk(content="x" * 2**15)
    while True:
        await response.write(piece)
        upstream.sent += len(piece)


ILL = {breaks_off, hangs_up, hangs}
"""Manners in which a server answers probes too."""
