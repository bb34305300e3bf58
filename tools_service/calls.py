"""`tools/call`: from the request to the executor and back, in both protocol eras.

A tool that asks its user is one thing here, however the client can be asked: by an answer that
requires input (2026-07-28), by a request of ours (2025-11-25), or through a task.
"""

from collections.abc import Mapping

import msgspec
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CreateMessageResult,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsResult,
    RequestParamsMeta,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from tools_service.answers import asked, result
from tools_service.call import Call
from tools_service.door import caller
from tools_service.ears import Ears, RequestContext, listening
from tools_service.errors import Draining, Refusal, UnknownTool
from tools_service.executor import Executor
from tools_service.policy import Group
from tools_service.rounds import Leg, Requests, converse, dumped
from tools_service.tenants import Tenants
from tools_service.tools.asks import InputNeeded, Inputs, Values
from tools_service.tools.registry import Registry, Tool
from tools_service.trail import Trails

GROUP_KEY = "roundhouse/group"

_ANSWER_S = 600.0  # how long a user may think about a request of ours

_CAPABILITY = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_ANSWERS: Mapping[str, type[BaseModel]] = {
    "elicitation/create": ElicitResult,
    "sampling/createMessage": CreateMessageResult,
    "roots/list": ListRootsResult,
}


class Calls:
    """Answers `tools/call`."""

    def __init__(
        self, executor: Executor, registry: Registry, tenants: Tenants, trails: Trails
    ) -> None:
        self._executor = executor
        self._registry = registry
        self._tenants = tenants
        self._trails = trails

    def tool(self, name: str) -> Tool | None:
        """The tool of that name, if the caller may use it."""
        try:
            return self._registry.find(name, self._tenants.allowed(caller()))
        except UnknownTool:
            return None

    def tools(self) -> list[Tool]:
        """What the caller may use, in the order of the names."""
        allowed = self._tenants.allowed(caller())
        return [tool for tool in self._registry if allowed is None or tool.name in allowed]

    async def call(
        self, ctx: RequestContext, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """The handler. A client of before 2026-07-28 is asked by requests of ours."""
        leg, inputs, ears = self.leg(ctx, params), inputs_of(ctx, params), listening(ctx)
        if is_modern(ctx):
            return await leg(inputs, ears)
        return await converse(leg, inputs, ears, lambda asks: _request(ctx, asks))

    def refuse(
        self, ctx: RequestContext, params: CallToolRequestParams, refusal: Refusal
    ) -> CallToolResult:
        """The result of a call that nobody will run."""
        call = Call(params.name, params.arguments or {}, _group(ctx.meta), caller())
        return result(self._executor.refuse(call, refusal))

    def leg(self, ctx: RequestContext, params: CallToolRequestParams) -> Leg:
        """Runs the call once, with what is known by then."""
        who, group, carrier = caller(), _group(ctx.meta), _carrier(ctx)
        label = params.name if params.name in self._registry else "unknown"
        allowed = self._tenants.allowed(who)

        async def run(inputs: Inputs, ears: Ears) -> CallToolResult | InputRequiredResult:
            needed = self.needed(params.name, inputs)
            if needed is None:
                arguments = params.arguments or {}
                call = Call(params.name, arguments, group, who, ears.tell, allowed, inputs)
                try:
                    with self._trails.call(label, carrier):
                        answer = await self._executor.call(call, ears.announce)
                except Draining as exc:
                    raise MCPError(INTERNAL_ERROR, str(exc)) from exc
                needed = answer.asked
                if needed is None:
                    return result(answer)
            return requiring(needed, inputs)

        return run

    def needed(self, name: str, inputs: Inputs) -> InputNeeded | None:
        """What the user must be asked before the tool starts; None for a call that has started."""
        tool = self.tool(name)
        if tool is None or inputs.state is not None:
            return None
        needs = tool.annotations.needs.items()
        missing = {key: ask for key, ask in needs if key not in inputs.answers}
        return InputNeeded(missing) if missing else None


def is_modern(ctx: RequestContext) -> bool:
    """The client speaks 2026-07-28 or later."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def inputs_of(ctx: RequestContext, params: CallToolRequestParams) -> Inputs:
    """What the client has answered with this request, and what it can be asked."""
    given = params.input_responses or {}
    answers = {key: dumped(answer) for key, answer in given.items()}
    declared = ctx.session.client_capabilities or ClientCapabilities()
    askable = {
        method for method, name in _CAPABILITY.items() if getattr(declared, name) is not None
    }
    return Inputs(answers, params.request_state, frozenset(askable))


def missing_capability(required: Mapping[str, object]) -> MCPError:
    """The error for what only works with a capability that the client did not declare."""
    return MCPError(
        MISSING_REQUIRED_CLIENT_CAPABILITY,
        "Missing required client capability",
        {"requiredCapabilities": required},
    )


def requiring(needed: InputNeeded, inputs: Inputs) -> InputRequiredResult:
    """The result that asks for it. Raises MCPError when the client can't be asked such things."""
    lacking: dict[str, object] = {
        _CAPABILITY[ask.method]: {}
        for ask in needed.asks.values()
        if ask.method not in inputs.askable
    }
    if lacking:
        raise missing_capability(lacking)
    return asked(needed)


async def _request(ctx: RequestContext, asks: Requests) -> Mapping[str, Values]:
    """Asks the client of a session one thing after the other. Raises MCPError."""
    return {key: dumped(await _send(ctx, ask)) for key, ask in asks.items()}


async def _send(ctx: RequestContext, ask: InputRequest) -> BaseModel:
    # On the stream of this call: the client may listen to no other.
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await ctx.session.send_request(ask, _ANSWERS[ask.method], _ANSWER_S, metadata)


def _carrier(ctx: RequestContext) -> dict[str, str]:
    """W3C's trace context, from where MCP has it or else from the HTTP request."""
    meta: Mapping[str, object] = {**(ctx.meta or {})}
    headers: Mapping[str, object] = ctx.request.headers if ctx.request is not None else {}
    source = meta if "traceparent" in meta else headers
    said = {name: source.get(name) for name in ("traceparent", "tracestate")}
    return {name: value for name, value in said.items() if isinstance(value, str)}


def _group(meta: RequestParamsMeta | None) -> Group:
    """Raises MCPError: a caller that describes its group wrongly should learn it."""
    try:
        return msgspec.convert((meta or {}).get(GROUP_KEY, {}), Group)
    except msgspec.ValidationError as exc:
        raise MCPError(INVALID_PARAMS, f"_meta {GROUP_KEY}: {exc}") from exc
