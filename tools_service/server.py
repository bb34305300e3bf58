"""The HTTP side: `/mcp` in both protocol eras, `/health`, `/metrics`, `/runtimes`, `/running`."""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListToolsResult,
    PaginatedRequestParams,
    ProgressNotification,
    ProgressNotificationParams,
    RequestParamsMeta,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolOffer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tools_service.config import ToolsServiceConfig
from tools_service.errors import Draining
from tools_service.executor import Announce, Answer, Call, Executor, Started
from tools_service.policy import Group
from tools_service.runtimes import Table
from tools_service.tools.registry import Progress, Registry, Tell, Tool, untold

GROUP_KEY = "roundhouse/group"
STARTED_KEY = "roundhouse/started"
RUNTIME_KEY = "roundhouse/runtime"
CALLER = "gateway"  # who knows the one token

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_BLOCKS: TypeAdapter[ContentBlock] = TypeAdapter(ContentBlock)

# The SDK's own parameter; we keep nothing in it.
RequestContext = ServerRequestContext[dict[str, Any], Any]


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
    prometheus: CollectorRegistry
    sharing: Sharing | None = None


def create_app(parts: Parts) -> Starlette:
    """The ASGI app."""
    manager = StreamableHTTPSessionManager(
        app=_mcp_server(parts), security_settings=_security(parts.config)
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    secret = parts.config.secret
    return Starlette(
        routes=[
            Route("/mcp", endpoint=_Door(StreamableHTTPASGIApp(manager), secret)),
            Route("/runtimes", endpoint=_Door(_runtimes(parts.table), secret)),
            Route("/running", endpoint=_Door(_running(parts.executor), secret)),
            Route("/health", endpoint=_health(parts.executor)),
            Route("/metrics", endpoint=_metrics(parts.prometheus)),
        ],
        middleware=[Middleware(_Farewell, executor=parts.executor)],
        lifespan=lifespan,
    )


def _mcp_server(parts: Parts) -> Server[dict[str, Any]]:
    offers = [_offer(tool) for tool in parts.registry]
    schemas = {tool.name: tool.input_schema for tool in parts.registry}

    async def list_tools(
        ctx: RequestContext, params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=offers)

    async def call_tool(ctx: RequestContext, params: CallToolRequestParams) -> CallToolResult:
        call = Call(params.name, params.arguments or {}, _group(ctx.meta), CALLER, _teller(ctx))
        try:
            answer = await parts.executor.call(call, _announcer(ctx))
        except Draining as exc:
            raise MCPError(INTERNAL_ERROR, str(exc)) from exc
        return _result(answer)

    return Server(
        "roundhouse-tools",
        version="0.1.0",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=schemas.get,
    )


def _offer(tool: Tool) -> ToolOffer:
    hints = tool.annotations
    return ToolOffer(
        name=tool.name,
        description=tool.description,
        input_schema=dict(tool.input_schema),
        output_schema=None if tool.output_schema is None else dict(tool.output_schema),
        annotations=ToolAnnotations(
            read_only_hint=hints.read_only,
            idempotent_hint=hints.idempotent,
            open_world_hint=hints.open_world,
            destructive_hint=not hints.read_only,
        ),
    )


def _group(meta: RequestParamsMeta | None) -> Group:
    """Raises MCPError: a caller that describes its group wrongly should learn it."""
    try:
        return msgspec.convert((meta or {}).get(GROUP_KEY, {}), Group)
    except msgspec.ValidationError as exc:
        raise MCPError(INVALID_PARAMS, f"_meta {GROUP_KEY}: {exc}") from exc


def _announcer(ctx: RequestContext) -> Announce:
    """Tells a caller that asked for progress, at once, that its call has left the queue."""
    token = (ctx.meta or {}).get("progress_token")

    async def announce(started: Started) -> None:
        if token is None:
            return
        note = {
            "expected_s": list(started.expected_s),
            "wait_s": started.wait_s,
            "mean_s": started.mean_s,
            "p95_s": started.p95_s,
        }
        await _notify(
            ctx,
            ProgressNotificationParams(
                progress_token=token, progress=0, message="started", _meta={STARTED_KEY: note}
            ),
        )

    return announce


def _teller(ctx: RequestContext) -> Tell:
    """Passes a tool's own progress on to a caller that asked for it."""
    token = (ctx.meta or {}).get("progress_token")
    if token is None:
        return untold

    async def tell(progress: Progress) -> None:
        await _notify(
            ctx,
            ProgressNotificationParams(
                progress_token=token,
                progress=progress.done,
                total=progress.total,
                message=progress.message,
            ),
        )

    return tell


async def _notify(ctx: RequestContext, params: ProgressNotificationParams) -> None:
    await ctx.session.send_notification(
        ProgressNotification(params=params), related_request_id=ctx.request_id
    )


def _result(answer: Answer) -> CallToolResult:
    expected = answer.expected
    runtime = {
        "expected_s": list(expected.range_s) if expected else None,
        "mean_s": expected.mean_s if expected else None,
        "wait_s": answer.wait_s,
        "run_s": answer.run_s,
        "outcome": answer.outcome,
        "shape": answer.shape,
        "samples": expected.samples if expected else 0,
        "truncated": answer.cut_bytes > 0,
        "predicted_wait_s": answer.predicted_wait_s,
    }
    return CallToolResult(
        content=[TextContent(type="text", text=answer.text), *map(_block, answer.blocks)],
        structured_content=answer.structured,
        is_error=answer.failed,
        _meta={RUNTIME_KEY: runtime},
    )


def _block(block: Mapping[str, object]) -> ContentBlock:
    return _BLOCKS.validate_python(block)


def _security(config: ToolsServiceConfig) -> TransportSecuritySettings:
    """Without the names of ours in it, the SDK answers 421 to every compose service."""
    hosts = (*_LOOPBACK, config.url_host, *config.allowed_hosts)
    return TransportSecuritySettings(
        allowed_hosts=[form for host in hosts for form in (host, f"{host}:*")],
        allowed_origins=[form for host in hosts for form in (f"http://{host}", f"http://{host}:*")],
    )


class _Door:
    """Lets in who knows the token; everybody when there is none."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._expected = f"Bearer {secret}".encode() if secret else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if self._expected is None or hmac.compare_digest(given, self._expected):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse(
            "a bearer token is needed", status_code=401, headers={"www-authenticate": "Bearer"}
        )
        await refusal(scope, receive, send)


class _Farewell:
    """Lets what outlives the drain end in silence; uvicorn would log each as a crash."""

    def __init__(self, app: ASGIApp, executor: Executor) -> None:
        self._app = app
        self._executor = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._executor.draining:
                raise


Endpoint = Callable[[Request], Awaitable[Response]]


def _runtimes(table: Table) -> ASGIApp:
    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        body = msgspec.json.encode({"runtimes": list(table.lines())})
        await Response(body, media_type="application/json")(scope, receive, send)

    return endpoint


def _running(executor: Executor) -> ASGIApp:
    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        body = msgspec.json.encode({"running": list(executor.runs)})
        await Response(body, media_type="application/json")(scope, receive, send)

    return endpoint


def _health(executor: Executor) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        state: Mapping[str, object] = {
            "status": "draining" if executor.draining else "ok",
            "running": executor.running,
            "waiting": executor.waiting,
        }
        return JSONResponse(state, status_code=503 if executor.draining else 200)

    return endpoint


def _metrics(prometheus: CollectorRegistry) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return Response(generate_latest(prometheus), media_type=CONTENT_TYPE_LATEST)

    return endpoint
