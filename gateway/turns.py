"""The way of one admitted request: as the model knows the conversation, with or without tools."""

from collections.abc import AsyncGenerator
from typing import cast

from msgspec import structs

from engine.types import Call
from gateway.errors import BadRequest, ToolsDown
from gateway.events import ToolSpec, TurnEvent
from gateway.loop import Job, LoopContext, Placed, ToolLoop
from gateway.sessions import Phase, Session
from gateway.tool_client import ToolClient
from gateway.toolbox import offer
from gateway.wire import ApiRequest, ServerTools


class Turns:
    """Runs requests on engines."""

    def __init__(self, context: LoopContext, client: ToolClient | None) -> None:
        self._context = context
        self._client = client

    async def begin(
        self, engine: Placed, request: ApiRequest, session: Session, answer_id: str
    ) -> AsyncGenerator[TurnEvent, None]:
        """The events of one request, `Finished` last. Raises GatewayError, also while iterated.

        What needs no loop gets the engine's events as they are: a layer costs every token.
        """
        messages = request.body.get("messages")
        after = messages[-1] if isinstance(messages, list) and messages else None
        if isinstance(messages, list) and self._context.history.has_any:
            await self._context.history.fetch(session.tenant, messages)
            request = self._restored(request, session, messages)
        if request.server_tools is not None:
            offered = await self._offered(request, request.server_tools, session.tenant)
            job = Job(engine, request, session, answer_id, after)
            return ToolLoop(self._context, job, offered).run()
        session.phase = Phase.GENERATING
        call = Call(
            answer_id,
            request.endpoint,
            request.body,
            request.stream,
            session.alias,
            request.verbatim,
            request.include_usage,
        )
        events = engine.generate(call)
        self._context.metrics.turns.labels(engine.name).inc()
        return cast("AsyncGenerator[TurnEvent, None]", events)

    def _restored(
        self, request: ApiRequest, session: Session, messages: list[object]
    ) -> ApiRequest:
        whole, restored = self._context.history.restore(session.tenant, messages)
        if not restored:
            return request
        self._context.metrics.restored.inc(restored)
        return structs.replace(request, body={**request.body, "messages": whole})

    async def _offered(
        self, request: ApiRequest, wanted: ServerTools, tenant: str
    ) -> dict[str, ToolSpec] | None:
        """The tools on offer; None when the service is down and answers may do without it."""
        if request.body.get("n") not in (None, 1):
            raise BadRequest("'n' must be 1 with server-side tools", param="n")
        if not isinstance(request.body.get("messages"), list):
            raise BadRequest("'messages' must be a list", param="messages")
        if self._client is None:
            raise BadRequest(
                "this gateway has no tools service; leave the 'mcp' entry out", param="tools"
            )
        try:
            return offer(wanted, await self._client.tools(tenant))
        except ToolsDown:
            if self._context.config.when_down == "error":
                raise
            return None
