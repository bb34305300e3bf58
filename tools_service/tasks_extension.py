"""The MCP extension `io.modelcontextprotocol/tasks`: which calls become tasks, and its methods."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from mcp.server.context import HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.shared.exceptions import MCPError
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    EmptyResult,
    Notification,
    RequestParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from pydantic import ConfigDict, Field

from tools_service.calls import Calls, inputs_of, is_modern, missing_capability, requiring
from tools_service.config import ToolsServiceConfig
from tools_service.door import caller
from tools_service.ears import RequestContext
from tools_service.errors import Draining, TooManyTasks, UnknownTask
from tools_service.task_store import Task
from tools_service.tasks import Tasks
from tools_service.tools.registry import Tool

_NAME = "io.modelcontextprotocol/tasks"
_MOST_WATCHED = 256
_MOST_STREAMS = 256


class TaskParams(RequestParams):
    """The parameters of all methods about one task."""

    task_id: str = Field(alias="taskId", max_length=256)


class UpdateParams(TaskParams):
    """Answers to what a task asks its user, by the keys it asks under."""

    input_responses: dict[str, dict[str, Any]] = Field(alias="inputResponses")


class TaskNotification(Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """A task's state, as `tasks/get` would tell it."""

    model_config = ConfigDict(extra="allow")
    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class TasksExtension:
    """Wraps `tools/call`, adds `tasks/*`, and tells of changes to who listens."""

    def __init__(self, config: ToolsServiceConfig, calls: Calls, tasks: Tasks) -> None:
        self._config = config
        self._calls = calls
        self._tasks = tasks

    def install(self, server: Server[dict[str, Any]]) -> None:
        """Declares the extension and adds its handlers."""
        server.extensions[_NAME] = {}
        server.add_request_handler("tools/call", CallToolRequestParams, self.call)
        server.add_request_handler("tasks/get", TaskParams, self._get)
        server.add_request_handler("tasks/update", UpdateParams, self._update)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel)
        server.add_request_handler(
            "subscriptions/listen", SubscriptionsListenRequestParams, self._listen
        )

    async def call(self, ctx: RequestContext, params: CallToolRequestParams) -> HandlerResult:
        """The handler of `tools/call`: a task, where the tool and the client are made for it."""
        tool = self._calls.tool(params.name)
        support = "forbidden" if tool is None else self._support(tool)
        if support == "required":
            _check_capable(ctx)
        if support == "forbidden" or not _is_capable(ctx):
            return await self._calls.call(ctx, params)
        inputs = inputs_of(ctx, params)
        needed = self._calls.needed(params.name, inputs)
        if needed is not None:  # asked before there is a task, so that nothing is begun in vain
            return requiring(needed, inputs)
        try:
            with _translated():
                task = await self._tasks.begin(caller(), self._calls.leg(ctx, params), inputs)
        except TooManyTasks as exc:
            return self._calls.refuse(ctx, params, exc)
        return {"resultType": "task", **self._shown(task)}

    async def _listen(
        self, ctx: RequestContext, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Tells of changes to some tasks of the caller's until they have ended."""
        ids = (params.notifications.model_extra or {}).get("taskIds") or []
        if not isinstance(ids, list) or len(ids) > _MOST_WATCHED:
            raise MCPError(INVALID_PARAMS, f"taskIds must be a list of at most {_MOST_WATCHED}")
        if ids:
            _check_capable(ctx)
        if self._tasks.watchers >= _MOST_STREAMS:
            raise MCPError(INTERNAL_ERROR, "too many clients listen already")
        who, meta = caller(), {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        agreed = [id for id in ids if isinstance(id, str) and await self._has(who, id)]
        await self._acknowledge(ctx, agreed, meta)
        async with aclosing(self._tasks.watch(who, agreed)) as states:
            async for task in states:
                note = TaskNotification(params={**self._detailed(task), "_meta": meta})
                await _send(ctx, note)
        return SubscriptionsListenResult(_meta=meta)

    async def _acknowledge(self, ctx: RequestContext, ids: list[str], meta: dict[str, Any]) -> None:
        agreed = SubscriptionFilter.model_validate({"taskIds": ids} if ids else {})
        params = SubscriptionsAcknowledgedNotificationParams(notifications=agreed, _meta=meta)
        await _send(ctx, SubscriptionsAcknowledgedNotification(params=params))

    async def _get(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        _check_request(ctx, params)
        with _translated():
            return self._detailed(await self._tasks.find(caller(), params.task_id))

    async def _update(self, ctx: RequestContext, params: UpdateParams) -> HandlerResult:
        _check_request(ctx, params)
        with _translated():
            await self._tasks.answer(caller(), params.task_id, params.input_responses)
        return EmptyResult()

    async def _cancel(self, ctx: RequestContext, params: TaskParams) -> HandlerResult:
        _check_request(ctx, params)
        with _translated():
            await self._tasks.cancel(caller(), params.task_id)
        return EmptyResult()

    async def _has(self, who: str, id: str) -> bool:
        try:
            await self._tasks.find(who, id)
        except UnknownTask:
            return False
        return True

    def _support(self, tool: Tool) -> str:
        said = self._config.about(tool.name).task
        if said is None or tool.annotations.task == "required":
            return tool.annotations.task
        return "optional" if said else "forbidden"

    def _shown(self, task: Task) -> dict[str, object]:
        shown: dict[str, object] = {
            "taskId": task.id,
            "status": task.status,
            "createdAt": _iso(task.created),
            "lastUpdatedAt": _iso(task.updated),
            "ttlMs": int(task.ttl_s * 1000),
            "pollIntervalMs": max(1, int(self._config.tasks.poll_s * 1000)),
        }
        return shown if task.message is None else {**shown, "statusMessage": task.message}

    def _detailed(self, task: Task) -> dict[str, object]:
        shown = self._shown(task)
        if task.asks:
            shown["inputRequests"] = dict(task.asks)
        if task.result is not None:
            shown["result"] = dict(task.result)
        if task.error is not None:
            shown["error"] = dict(task.error)
        return shown


@contextmanager
def _translated() -> Iterator[None]:
    """Our errors as MCP's."""
    try:
        yield
    except UnknownTask as exc:
        raise MCPError(INVALID_PARAMS, str(exc)) from exc
    except Draining as exc:
        raise MCPError(INTERNAL_ERROR, str(exc)) from exc


def _is_capable(ctx: RequestContext) -> bool:
    """The client said with this request that it can handle tasks."""
    declared = ctx.session.client_capabilities
    return is_modern(ctx) and declared is not None and _NAME in (declared.extensions or {})


def _check_capable(ctx: RequestContext) -> None:
    if not _is_capable(ctx):
        raise missing_capability({"extensions": {_NAME: {}}})


def _check_request(ctx: RequestContext, params: TaskParams) -> None:
    """Raises MCPError. The header is what a balancer routes by: it must name the same task."""
    if not is_modern(ctx):  # tasks were something else then
        raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method)
    _check_capable(ctx)
    named = None if ctx.request is None else ctx.request.headers.get("mcp-name")
    if named != params.task_id:
        raise MCPError(HEADER_MISMATCH, "the header Mcp-Name must be the taskId")


async def _send(ctx: RequestContext, note: Any) -> None:
    await ctx.session.send_notification(note, related_request_id=ctx.request_id)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
