"""Log messages to the client, which MCP had until 2025-11-25 and our tools never needed."""

from contextvars import ContextVar
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import LoggingMessageNotification, LoggingMessageNotificationParams

from tools_service.tools.registry import Arguments, Context, Output

RequestContext = ServerRequestContext[dict[str, Any], Any]

_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)


async def remembering(ctx: RequestContext, call_next: CallNext) -> HandlerResult:
    """Middleware: lets a tool find the request it runs for."""
    token = _request.set(ctx)
    try:
        return await call_next(ctx)
    finally:
        _request.reset(token)


async def logs(arguments: Arguments, context: Context) -> Output:
    """Logs three lines, to clients of the era in which a server may."""
    ctx = _request.get()
    if ctx is not None and ctx.protocol_version == "2025-11-25":
        for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            params = LoggingMessageNotificationParams(level="info", data=line)
            note = LoggingMessageNotification(params=params)
            await ctx.session.send_notification(note, related_request_id=ctx.request_id)
    return Output("logged")
