"""The application: wiring, lifespan, the one error handler."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.errors import NotReady
from engine.protocol import Engine
from gateway.access import Access, Admin
from gateway.admission import Queue
from gateway.api import engines, faults, models, page, sessions, status
from gateway.api.door import Door
from gateway.api.generation import Generation
from gateway.config import GatewayConfig, SessionCaps, StoreConfig
from gateway.desk import Desk
from gateway.dispatch import Way
from gateway.fallback import FallbackStore, StoreMetrics
from gateway.fleet import Fleet
from gateway.front import Front
from gateway.gate import Gate
from gateway.gauges import gauges
from gateway.history import History
from gateway.identity import Names
from gateway.keys import Terms, digest, read
from gateway.limits import Limits, check
from gateway.loop import LoopContext
from gateway.metrics import (
    FleetMetrics,
    MergedCollector,
    Metrics,
    RetentionMetrics,
    StandbyMetrics,
)
from gateway.overview import Overview
from gateway.program import Rule
from gateway.program_readings import ProgramReadings
from gateway.recognition import Recognition
from gateway.retention import Retention
from gateway.routes import Routes
from gateway.sessions import Sessions
from gateway.shared import SharedSessions
from gateway.standby import Standby
from gateway.store import MemoryStore, Store
from gateway.timeline import Timeline
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.toolbox import CallRunner
from gateway.trail import Trails
from gateway.turns import Turns
from telemetry.event_loop import LoopLag
from telemetry.tracers import tracer

logger = logging.getLogger(__name__)

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
        self.store = _store(config.store, self.registry)
        self.access = _access(config, self.store)
        self.tools = self._tool_client(tools_token)
        self.queue = Queue(config.queue, time.monotonic)
        self.recognition = Recognition()
        self.timeline = Timeline(time.perf_counter, time.time)
        self.sessions = Sessions(
            live=config.sessions.live,
            idle_s=config.sessions.idle_s,
            clock=time.monotonic,
            memory=self,
        )
        runner = CallRunner(
            self.tools, self.metrics, fail_as_result=config.tools.when_down == "answer_without"
        )
        shared = self.store if config.store.url is not None else None
        history = History(config.sessions.live, shared, config.sessions.idle_s)
        context = LoopContext(config.tools, runner, history, self.metrics, time.monotonic)
        turns = Turns(context, self.tools)
        self.fleet = Fleet(
            self.engines,
            config.routing,
            config.failures,
            FleetMetrics(self.registry),
            time.monotonic,
            store=self.store,
        )
        told, enabled = RetentionMetrics(self.registry), config.retention.enabled
        self.retention = Retention(self.engines, told, time.monotonic, enabled=enabled)
        self.gate = self._gate()
        self.standby = Standby(
            self.fleet,
            self.gate,
            self.sessions,
            config.spares,
            StandbyMetrics(self.registry),
            clock=time.monotonic,
            wall=partial(datetime.now, UTC),
        )
        routes = Routes((engine.model for engine in engines), config.routing)
        may_go_on = partial(check, config.sessions.caps, time.monotonic)
        way = Way(self.fleet, self.gate, self.retention, may_go_on, config.tools.weigh_kv)
        is_capped = config.sessions.caps != SessionCaps()
        self.shared = SharedSessions(shared, config.sessions.idle_s, is_capped) if shared else None
        self.desk = Desk(
            way, routes, self.sessions, self.queue, turns, self.metrics, shared=self.shared
        )
        self.tracer = tracer(
            "roundhouse-gateway", config.tracing.endpoint, config.tracing.sample_ratio
        )
        self.stopping = False
        self.loop_lag = LoopLag(time.monotonic)
        self._register()

    def _gate(self) -> Gate | None:
        programs = self.config.programs
        if not programs.enabled:
            return None
        rule = Rule(**programs.model_dump(exclude={"enabled", "wait_s"}))
        return Gate(
            rule,
            self.queue,
            most_waiting=self.config.queue.waiting,
            wait_s=programs.wait_s,
            clock=time.monotonic,
            set_aside=self.retention.set_aside,
        )

    def knows(self, key: tuple[str, str]) -> bool:
        """Whether a client can come back to the session without naming it."""
        return self.recognition.knows(key)

    def forget(self, key: tuple[str, str]) -> None:
        """The session has ended: nothing of it is kept, and its context no longer counts."""
        self.recognition.forget(key)
        self.fleet.leave(key)
        self.retention.forget(key)
        if self.gate is not None:
            self.gate.forget(key)

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
        self.registry.register(self.loop_lag)
        self.registry.register(MergedCollector(engine.collector for engine in self.engines))
        self.registry.register(gauges(self.queue, self.sessions, self.fleet))
        if self.gate is not None:
            self.registry.register(ProgramReadings(self.gate.sets))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start engines and tool client; stop all in order. Raises a group of StartFailed."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.store.close)
            if self.tools is not None:
                await stack.enter_async_context(self.tools)
            stack.push_async_callback(self._close_engines)
            async with asyncio.TaskGroup() as starting:
                for engine in self.engines:
                    starting.create_task(self._start(engine))
            self.tracer.open()
            stack.push_async_callback(self.tracer.close)
            await stack.enter_async_context(self.loop_lag.running())
            watching = await stack.enter_async_context(asyncio.TaskGroup())
            watches = [watching.create_task(self.fleet.retries.settling())]
            watches += [
                watching.create_task(watch)
                for member in self.fleet.members.values()
                for watch in (
                    self._watch(member.engine),
                    self.fleet.watch(member),
                    self.fleet.recover(member),
                )
            ]
            watches.append(watching.create_task(self.standby.run()))
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
        if self.gate is not None:
            self.gate.close()
        if await self.queue.close(self.config.shutdown_s):
            return
        logger.warning("%d requests did not end in time and are cut off", self.queue.running)
        await self._close_engines()  # their streams end with an error event
        await self.queue.close(CLOSING_S)

    async def _close_engines(self) -> None:
        async with asyncio.TaskGroup() as closing:
            for engine in self.engines:
                closing.create_task(engine.close())


def _store(config: StoreConfig, registry: CollectorRegistry) -> Store:
    own = MemoryStore(time.monotonic)
    if config.url is None:
        return own
    try:  # only here: the library is optional
        from gateway.redis_store import connect
    except ModuleNotFoundError:
        raise ValueError("gateway.store.url needs the package 'redis': pip install redis") from None
    metrics = StoreMetrics(registry)
    return FallbackStore(connect(config), own, metrics, config.timeout_s, config.rest_s)


def _access(config: GatewayConfig, store: Store) -> Access:
    keys = {digest(key.get_secret_value()): Terms() for key in config.api_keys}
    if config.keys_file is not None:
        keys |= read(config.keys_file)
    return Access(keys, store if config.store.keys else None, time.monotonic)


async def _elsewhere(request: Request) -> Response:
    raise RuntimeError(f"{request.url.path} needs the connections of `Front.served`")


def create_app(gateway: Gateway) -> Front:
    """The application of a gateway; serve it inside `gateway.running()`."""
    config, access, desk = gateway.config, gateway.access, gateway.desk
    names, limits = Names(config.sessions), Limits(gateway.store)
    door = Door(
        access,
        names,
        gateway.recognition,
        limits,
        gateway.metrics,
        gateway.timeline,
        Trails(gateway.tracer, config.log),
        gateway.shared,
    )
    hot = {
        "/v1/chat/completions": Generation("chat", config, door, desk, gateway.metrics),
        "/v1/completions": Generation("completion", config, door, desk, gateway.metrics),
    }
    pages = FastAPI(title="Roundhouse")
    for path in hot:
        pages.router.routes.append(Route(path, _elsewhere, methods=["POST"]))  # for 405 and its kin
    pages.include_router(models.routes(access, desk, int(time.time())))
    pages.include_router(
        sessions.routes(access, gateway.sessions, gateway.timeline, gateway.shared)
    )
    pages.include_router(
        status.routes(desk, gateway.registry, config.health_s, lambda: gateway.stopping)
    )
    admin_key = config.admin_key.get_secret_value() if config.admin_key is not None else None
    admin = Admin(admin_key)
    pages.include_router(engines.routes(gateway.fleet, gateway.standby, admin))
    seen = Overview(desk, gateway.timeline, gateway.tools, time.monotonic)
    watch = page.Watch(page.Gate(access, admin, time.time), seen, lambda: gateway.stopping)
    pages.include_router(page.routes(watch))
    faults.handle(pages)
    return Front(pages, hot)
