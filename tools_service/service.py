"""The running service: its parts put together, its socket, and its life from start to last save."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import uvicorn
from prometheus_client import CollectorRegistry

from telemetry.tracers import tracer
from telemetry.tracing import Tracer
from tools_service import execution_checks, table_file
from tools_service.audit import Audit, AuditSink
from tools_service.audit_file import AuditFile
from tools_service.config import RedisConfig, TasksConfig, ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.executor import Executor
from tools_service.metrics import Metrics
from tools_service.runtimes import Table
from tools_service.server import Parts, Sharing, create_app
from tools_service.task_store import MemoryStore
from tools_service.tasks import Tasks
from tools_service.telemetry_config import TracingConfig
from tools_service.tools.registry import Registry, Tool
from tools_service.tools.shapes import Shaper

logger = logging.getLogger(__name__)

# Longer than any client keeps an idle connection, so that no request meets a closing one.
_KEEP_ALIVE_S = 75
_FLUSH_S = 1.0


def assemble(
    config: ToolsServiceConfig,
    tools: Iterable[Tool],
    prometheus: CollectorRegistry,
    clock: Callable[[], float] = time.monotonic,
) -> Parts:
    """Puts the service together, the table's memory included. Raises ConfigError."""
    priors = {name: tool.expected_s for name, tool in config.per_tool.items() if tool.expected_s}
    table = Table(shapes_per_tool=config.shapes_per_tool, tools=config.table_tools, priors=priors)
    if config.table_path is not None:
        table_file.read(config.table_path, table)
    paths = {name: tool.shape for name, tool in config.per_tool.items()}
    registry = Registry(tools, Shaper(paths, config.secret.encode()).shape)
    execution_checks.check(config, registry)
    metrics = Metrics(prometheus)
    for tool in registry:
        metrics.know(tool.name)
    audit = Audit(_sink(config), waiting=config.audit.waiting, dropped=metrics.audit_dropped.inc)
    executor = Executor(config, registry, table, metrics, audit=audit, clock=clock)
    tasks = _tasks(config.tasks, metrics)
    sharing = _shared(config.redis, table, metrics) if config.redis.url else None
    spans = _tracer(config.tracing)
    return Parts(
        config, registry, executor, table, tasks, prometheus, sharing=sharing, tracer=spans
    )


def _tracer(config: TracingConfig) -> Tracer:
    try:
        return tracer("roundhouse-tools", config.endpoint, config.sample_ratio)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc


def _tasks(bounds: TasksConfig, metrics: Metrics) -> Tasks:
    tasks = Tasks(bounds, MemoryStore(most=bounds.most, per_caller=bounds.per_caller))
    metrics.tasks.set_function(lambda: tasks.live)
    return tasks


def _sink(config: ToolsServiceConfig) -> AuditSink | None:
    audit = config.audit
    if audit.redis:
        with _optional("redis"):
            from tools_service.redis_audit import RedisAudit

            return RedisAudit(config.redis)
    if audit.path is None:
        return None
    return AuditFile(audit.path, file_bytes=audit.file_bytes, files=audit.files)


def _shared(config: RedisConfig, table: Table, metrics: Metrics) -> Sharing:
    with _optional("redis"):
        from tools_service.redis_table import SharedTable

        sharing = SharedTable(config, table, metrics)
        table.told = sharing.note
        return sharing


@contextlib.contextmanager
def _optional(package: str) -> Iterator[None]:
    """For what is imported only where it is configured. Raises ConfigError."""
    try:
        yield
    except ImportError as exc:
        raise ConfigError(f"tools_service.{package} needs it: pip install {package}") from exc


def listen(config: ToolsServiceConfig) -> socket.socket:
    """The listening socket. Raises ConfigError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio turns Nagle off only where the protocol is given; without, an answer takes 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((config.host, config.port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        raise ConfigError(f"cannot listen on {config.host}:{config.port}: {exc}") from exc
    return sock


async def serve(
    parts: Parts, sock: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Serves until `stop`, then drains within the bound, cancels the rest and saves the table."""
    parts.tracer.open()
    config = parts.config
    server = _Server(
        uvicorn.Config(
            create_app(parts),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            # After the drain: only answers in flight, and streams that never end by themselves.
            timeout_graceful_shutdown=1,
        ),
        ready,
    )
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve([sock]))
        ending = tasks.create_task(_end(parts, server, stop))
        keeping = tasks.create_task(_keep(parts))
        sharing = tasks.create_task(_share(parts))
        await serving
        if parts.sharing is not None:
            await parts.sharing.flush(_FLUSH_S)
        ending.cancel()
        keeping.cancel()
        sharing.cancel()
    if config.table_path is not None:
        await table_file.save(config.table_path, parts.table)
    await parts.tracer.close()


async def _end(parts: Parts, server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    logger.info("tools service draining, %d calls in flight", parts.executor.running)
    parts.tasks.drain()
    await parts.executor.drain(parts.config.shutdown_s)
    server.should_exit = True


async def _keep(parts: Parts) -> None:
    if parts.config.table_path is not None:
        tick = _every(parts.config.table_every_s)
        await table_file.keep(parts.config.table_path, parts.table, tick)


async def _share(parts: Parts) -> None:
    if parts.sharing is not None:
        await parts.sharing.run()


def _every(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[str]:
    """The service in this event loop, for as long as the block; gives its URL, without a path."""
    stop = asyncio.Event()
    ready = asyncio.Event()
    with listen(parts.config) as sock:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(parts, sock, stop, ready.set))
            await ready.wait()
            try:
                yield url(parts.config, sock)
            finally:
                stop.set()


def url(config: ToolsServiceConfig, sock: socket.socket) -> str:
    """Where the service listens, with the port it really got."""
    return f"http://{config.url_host}:{sock.getsockname()[1]}"


class _Server(uvicorn.Server):
    """uvicorn, with its signals left to us: it would end the process by the signal, not with 0."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
