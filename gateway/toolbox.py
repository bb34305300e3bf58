"""The server-side tools of one request: what the model is offered, and the calls it makes."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from engine.types import ToolCall
from gateway.errors import BadRequest, ToolsDown
from gateway.events import (
    ServerCallDone,
    ServerCallStarted,
    ToolGroup,
    ToolOutcome,
    ToolSpec,
    ToolStarted,
)
from gateway.metrics import Metrics
from gateway.sessions import Session
from gateway.tool_client import ToolClient
from gateway.trail import current
from gateway.wire import ServerTools

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Emit(Protocol):
    """Where a running call says what happens to it."""

    def __call__(self, event: ServerCallStarted | ServerCallDone, /) -> None:
        """Take one event; never blocks."""


def offer(wanted: ServerTools, specs: tuple[ToolSpec, ...]) -> dict[str, ToolSpec]:
    """The tools a request may use, by name. Raises BadRequest for a name nobody offers."""
    known = {spec.name: spec for spec in specs}
    if wanted.allowed is None:
        return known
    for name in wanted.allowed:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise BadRequest(
                f"the tools service has no tool '{name}'; it has: {names}",
                param="tools.allowed_tools",
            )
    return {name: known[name] for name in wanted.allowed}


def definitions(offered: Mapping[str, ToolSpec], own: object) -> list[object]:
    """All tools as the engine wants them: the client's own, then ours. Raises BadRequest."""
    theirs = list(own) if isinstance(own, list) else []
    for index, tool in enumerate(theirs):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str) and name in offered:
            raise BadRequest(
                f"'{name}' is also the name of a server-side tool: rename yours, or leave it out "
                "of 'allowed_tools'",
                param=f"tools[{index}].function.name",
            )
    return [
        *theirs,
        *(
            {
                "type": "function",
                "function": {
                    "name": spec.name,
                    "description": spec.description,
                    "parameters": dict(spec.input_schema),
                },
            }
            for spec in offered.values()
        ),
    ]


class CallRunner:
    """Runs calls on the tools service; every call ends in exactly one `ServerCallDone`."""

    def __init__(
        self, client: ToolClient | None, metrics: Metrics, *, fail_as_result: bool
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._fail_as_result = fail_as_result

    async def run(
        self, call: ToolCall, session: Session, group: ToolGroup, timeout_s: float, emit: Emit
    ) -> ToolsDown | None:
        """Run one call to its end. A broken service is returned, so that no sibling is cancelled.

        With `fail_as_result` a broken service is a result the model sees.
        """
        began_s = asyncio.get_running_loop().time()
        try:
            outcome = await self._outcome(call, session, group, timeout_s, emit)
        except ToolsDown as error:
            if not self._fail_as_result:
                self._metrics.tool_calls.labels(call.name, "service_down").inc()
                return error
            took_s = asyncio.get_running_loop().time() - began_s
            outcome = refusal("the tools service is unavailable", "service_down", took_s)
        self._observe(call.name, outcome)
        emit(ServerCallDone(call.id, call.name, call.arguments, outcome))
        return None

    async def _outcome(
        self, call: ToolCall, session: Session, group: ToolGroup, timeout_s: float, emit: Emit
    ) -> ToolOutcome:
        try:
            arguments = _decode(call.arguments.encode() or b"{}")
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            return refusal(f"the arguments are not a JSON object: {error}", "error", 0.0)
        if self._client is None:
            raise ToolsDown("this gateway has no tools service")
        with current().calling(call) as calling:
            events = self._client.call(
                call.name,
                arguments,
                session=session.id,
                group=group,
                timeout_s=timeout_s,
                tenant=session.tenant,
                carrier=calling.carrier,
            )
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, ToolStarted):
                        emit(ServerCallStarted(call.id, call.name, event))
                    else:
                        return calling.ended(event)
        raise ToolsDown("the tools service ended a call without a result")

    def _observe(self, name: str, outcome: ToolOutcome) -> None:
        metrics = self._metrics
        metrics.tool_calls.labels(name, outcome.outcome).inc()
        metrics.tool_seconds.labels(name).observe(outcome.took_s)
        # What was kept from an earlier call, or never ran, says nothing about what was expected.
        if outcome.expected_s is not None and outcome.run_s > 0:
            low, high = outcome.expected_s
            metrics.tool_expected_seconds.labels(name).observe(high)
            if low + high > 0:
                metrics.tool_ratio.labels(name).observe(2 * outcome.run_s / (low + high))


def refusal(reason: str, outcome: str, took_s: float) -> ToolOutcome:
    """The result of a call that never reached its tool."""
    text = f"error: {reason}"
    return ToolOutcome(text, True, outcome, None, 0.0, 0.0, took_s, len(text.encode()))
