"""The application: wiring, lifespan, the one error handler."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.exceptions import HTTPException
from starlette.routing import Route

from engine.errors import NotReady
from engine.protocol import Engine
from gateway.access import Access
from gateway.admission import Queue
from gateway.api import engines, models, sessions, status
from gateway.api.exchange import Receive, Scope, Send, traced
from gateway.api.generation import Door, Generation
from gateway.config import GatewayConfig
from gateway.desk import Desk
from gateway.errors import GatewayError, Internal, MethodNotAllowed, NotFound
from gateway.fleet import Fleet
from gateway.history import History
from gateway.identity import Names
from gateway.loop import LoopContext
from gateway.metrics import FleetMetrics, MergedCollector, Metrics, Readings
from gateway.recognition import Recognition
from gateway.router import Standing
from gateway.routes import Routes
from gateway.sessions import Sessions
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.toolbox import CallRunner
from gateway.trail import Trails, tracer
from gateway.turns import Turns

logger = logging.getLogger(__name__)

METHOD_NOT_ALLOWED = 405
CLOSING_S = 2.0


class Gateway:
    """Everything one gateway process holds; nothing of it is global."""

    def __init__(
        self, config: GatewayConfig, engines: Sequence[Engine], tools_token: str | None
    ) -> None:
        self.config = config
        self.engines = tuple(engines)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.access = Access(key.get_secret_value() for key in config.api_keys)
        self.tools = self._tool_client(tools_token)
        self.queue = Queue(config.queue, time.monotonic)
        self.recognition = Recognition()
        self.sessions = Sessions(
            live=config.sessions.live,
            idle_s=config.sessions.idle_s,
            clock=time.monotonic,
            memory=self.recognition,
        )
        runner = CallRunner(
            self.tools, self.metrics, fail_as_result=config.tools.when_down == "answer_without"
        )
        history = History(config.sessions.live)
        context = LoopContext(config.tools, runner, history, self.metrics, time.monotonic)
        turns = Turns(context, self.tools)
        self.fleet = Fleet(
            self.engines,
            config.routing,
            config.failures,
            FleetMetrics(self.registry),
            time.monotonic,
        )
        routes = Routes((engine.model for engine in engines), config.routing)
        self.desk = Desk(self.fleet, routes, self.sessions, self.queue, turns, self.metrics)
        self.tracer = tracer(config.tracing)
        self.stopping = False
        self._register()

    def _tool_client(self, token: str | None) -> ToolClient | None:
        tools = self.config.tools
        if tools.url is None:
            return None
        return ToolClient(
            ToolClientConfig(
                tools.url, token, connections=tools.connections, list_ttl_s=tools.list_ttl_s
            )
        )

    def _register(self) -> None:
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(MergedCollector(engine.collector for engine in self.engines))
        queue, sessions, fleet = self.queue, self.sessions, self.fleet
        members = fleet.members
        self.registry.register(
            Readings(
                {
                    "roundhouse_queue_depth": (
                        "Requests that wait for a place.",
                        "",
                        lambda: {"": float(queue.depth)},
                    ),
                    "roundhouse_queue_oldest_seconds": (
                        "How long the first of them has waited.",
                        "",
                        lambda: {"": queue.oldest_s},
                    ),
                    "roundhouse_requests_running": (
                        "Requests that are admitted and have not ended.",
                        "",
                        lambda: {"": float(queue.running)},
                    ),
                    "roundhouse_engine_ready": (
                        "1 while requests are sent to the engine.",
                        "engine",
                        lambda: {n: float(m.standing is Standing.WELL) for n, m in members.items()},
                    ),
                    "roundhouse_engine_requests": (
                        "This gateway's requests that are with the engine.",
                        "engine",
                        lambda: {n: float(m.in_flight) for n, m in members.items()},
                    ),
                    "roundhouse_engine_programs": (
                        "Active sessions at home on the engine.",
                        "engine",
                        lambda: fleet.programs,
                    ),
                    "roundhouse_engine_kv_used_ratio": (
                        "Share of the engine's KV cache that running requests use, 0 if not known.",
                        "engine",
                        lambda: {n: m.engine.load().kv_used_ratio for n, m in members.items()},
                    ),
                    "roundhouse_sessions": (
                        "Live sessions by what their agent does.",
                        "phase",
                        sessions.phases,
                    ),
                }
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start engines and tool client; stop all in order. Raises a group of StartFailed."""
        async with AsyncExitStack() as stack:
            if self.tools is not None:
                await stack.enter_async_context(self.tools)
            stack.push_async_callback(self._close_engines)
            async with asyncio.TaskGroup() as starting:
                for engine in self.engines:
                    starting.create_task(self._start(engine))
            self.tracer.open()
            stack.push_async_callback(self.tracer.close)
            watching = await stack.enter_async_context(asyncio.TaskGroup())
            watches = [
                watching.create_task(watch)
                for member in self.fleet.members.values()
                for watch in (self._watch(member.engine), self.fleet.recover(member))
            ]
            try:
                yield
            finally:
                for watch in watches:
                    watch.cancel()

    async def _start(self, engine: Engine) -> None:
        try:
            await engine.start()
        except NotReady as error:  # the others serve; this one joins them when it answers
            self.fleet.eject(engine, str(error))

    async def _watch(self, engine: Engine) -> None:
        up = self.metrics.engine_up.labels(engine.name)
        up.set(1)
        await engine.died.wait()
        up.set(0)

    async def stop(self) -> None:
        """Refuse newcomers, let the running end within the bound; what is left is then cut off."""
        if self.stopping:
            return
        self.stopping = True
        if await self.queue.close(self.config.shutdown_s):
            return
        logger.warning("%d requests did not end in time and are cut off", self.queue.running)
        await self._close_engines()  # their streams end with an error event
        await self.queue.close(CLOSING_S)

    async def _close_engines(self) -> None:
        async with asyncio.TaskGroup() as closing:
            for engine in self.engines:
                closing.create_task(engine.close())


class Front:
    """The ASGI application: FastAPI, and before it the endpoints that stream.

    FastAPI's middlewares wrap every message sent; on a stream that is every token.
    """

    def __init__(self, pages: FastAPI, hot: Mapping[str, Generation]) -> None:
        self.pages = pages
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._hot.get(scope["path"])
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
        await self.pages(scope, receive, traced(scope, send))


def create_app(gateway: Gateway) -> Front:
    """The ASGI application of a gateway; serve it inside `gateway.running()`."""
    config, access, desk = gateway.config, gateway.access, gateway.desk
    trails = Trails(gateway.tracer, config.log)
    door = Door(access, Names(config.sessions), gateway.recognition, trails)
    hot = {
        "/v1/chat/completions": Generation("chat", config, door, desk, gateway.metrics),
        "/v1/completions": Generation("completion", config, door, desk, gateway.metrics),
    }
    pages = FastAPI(title="Roundhouse")
    for path, endpoint in hot.items():
        pages.router.routes.append(Route(path, endpoint, methods=["POST"]))  # for 405 and its kin
    pages.include_router(models.routes(access, desk, int(time.time())))
    pages.include_router(sessions.routes(access, gateway.sessions))
    pages.include_router(
        status.routes(desk, gateway.registry, config.health_s, lambda: gateway.stopping)
    )
    admin_key = config.admin_key.get_secret_value() if config.admin_key is not None else None
    pages.include_router(engines.routes(gateway.fleet, admin_key))
    pages.add_exception_handler(GatewayError, _on_gateway_error)
    pages.add_exception_handler(HTTPException, _on_http_exception)
    pages.add_exception_handler(Exception, _on_bug)
    return Front(pages, hot)


def _rendered(error: GatewayError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


async def _on_gateway_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    return _rendered(error)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    if error.status_code == METHOD_NOT_ALLOWED:
        allowed = dict(error.headers or {})
        said = f"{where} is not allowed; allowed: {allowed.get('Allow', 'other methods')}"
        return _rendered(MethodNotAllowed(said, headers=allowed))
    said = f"there is no {where}; see /docs for what there is"
    if request.url.path == "/v1/responses":
        said = "the Responses API is not served; use /v1/chat/completions"
    return _rendered(NotFound(said, code="unknown_url"))


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _rendered(Internal("an internal error; the log has more"))
