"""The HTTP side: `/mcp` in both protocol eras, `/health`, `/metrics`, `/runtimes`, `/running`."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp_types import ListToolsResult, PaginatedRequestParams, ServerCapabilities
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from telemetry.event_loop import LoopLag
from telemetry.tracing import Tracer, Untraced
from tools_service import pages
from tools_service.answers import offer
from tools_service.calls import Calls
from tools_service.config import ToolsServiceConfig
from tools_service.door import guards, sealed, security
from tools_service.ears import RequestContext
from tools_service.edge import Farewell, Trimmed
from tools_service.executor import Executor
from tools_service.runtimes import Table
from tools_service.tasks import Tasks
from tools_service.tasks_extension import TasksExtension
from tools_service.tenants import Tenants
from tools_service.tools.registry import Registry
from tools_service.trail import Trails

_LIST_TTL_MS = 30_000


def only_tools(server: Server[dict[str, Any]]) -> None:
    """Adds nothing beside the tools."""


class Sharing(Protocol):
    """Tells other replicas what is learned here, and learns from them."""

    async def run(self) -> None:
        """Until cancelled."""
        ...

    async def flush(self, timeout_s: float) -> None:
        """Waits until everything is told, at most so long."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app is made of; `__main__` and the tests build it."""

    config: ToolsServiceConfig
    registry: Registry
    executor: Executor
    table: Table
    tasks: Tasks
    prometheus: CollectorRegistry
    extend: Callable[[Server[dict[str, Any]]], None] = only_tools
    """Adds handlers for what is not a tool, such as prompts."""
    sharing: Sharing | None = None
    tracer: Tracer = field(default_factory=Untraced)


def create_app(parts: Parts) -> Starlette:
    """The ASGI app."""
    manager = StreamableHTTPSessionManager(
        app=_mcp_server(parts), security_settings=security(parts.config)
    )
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=parts.prometheus)
    loop_lag = LoopLag(time.monotonic)
    parts.prometheus.register(loop_lag)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            parts.executor.opened(),
            manager.run(),
            parts.tasks.running(),
            loop_lag.running(),
        ):
            yield

    door = guards(parts.config.secret)
    return Starlette(
        routes=[
            Route("/mcp", endpoint=StreamableHTTPASGIApp(manager), middleware=door),
            Route("/runtimes", endpoint=pages.runtimes(parts.table), middleware=door),
            Route("/running", endpoint=pages.running(parts.executor), middleware=door),
            Route("/health", endpoint=pages.health(parts.executor)),
            Route("/metrics", endpoint=pages.metrics(parts.prometheus)),
        ],
        middleware=[Middleware(Farewell, executor=parts.executor), Middleware(Trimmed)],
        lifespan=lifespan,
    )


def _mcp_server(parts: Parts) -> Server[dict[str, Any]]:
    registry = parts.registry
    tenants, trails = Tenants(parts.config.tenants), Trails(parts.tracer)
    calls = Calls(parts.executor, registry, tenants, trails)

    async def list_tools(
        ctx: RequestContext, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[offer(tool) for tool in calls.tools()])

    server = _Server(
        "roundhouse-tools",
        version="0.1.0",
        # Whose list it is depends on the token.
        cache_hints={"tools/list": CacheHint(ttl_ms=_LIST_TTL_MS, scope="private")},
        on_list_tools=list_tools,
        get_tool_input_schema=registry.schema,
    )
    TasksExtension(parts.config, calls, parts.tasks).install(server)
    server.middleware.append(sealed(parts.config.secret))
    parts.extend(server)
    return server


class _Server(Server[dict[str, Any]]):
    """The SDK's, which takes listening to tasks for listening to the list of tools."""

    def get_capabilities(self, *args: Any, **kwargs: Any) -> ServerCapabilities:
        capabilities = super().get_capabilities(*args, **kwargs)
        if capabilities.tools is not None:
            capabilities.tools.list_changed = False
        return capabilities
