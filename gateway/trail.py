"""What one request leaves behind: the spans of its trace, and its line in the log.

Only three moments of a request are told here beside its begin and end: that it was admitted, that
an engine generates for it, that a tool is called. Nothing happens for a token but the first.
"""

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from engine.types import Call, Delta, Endpoint, Event, Finished, Passed, ToolCall
from gateway.config import LogConfig
from gateway.events import ToolOutcome
from gateway.identity import Identity, is_minted
from telemetry.logs import Fact, tell
from telemetry.redact import excerpt, redact
from telemetry.tracing import Span, Tracer, Unrecorded, trace_here

logger = logging.getLogger("gateway.requests")

PATHS: Mapping[Endpoint, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
}
OPERATIONS: Mapping[Endpoint, str] = {"chat": "chat", "completion": "text_completion"}
FAULTS = 500
NOTICED_S = 0.001


@dataclass(slots=True, eq=False)
class Trail:
    """One request's."""

    span: Span
    endpoint: Endpoint = "chat"
    keeps_bodies: bool = False
    began_s: float = field(default_factory=time.perf_counter)
    facts: dict[str, Fact] = field(default_factory=dict)
    """What the line in the log says, beside what is counted below."""
    asked_model: str = ""
    model: str = ""
    first_s: float | None = None
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    tools: list[str] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)
    """How often an engine was asked, by turn."""

    def asked(self, model: str | None, target: str, identity: Identity) -> None:
        """It has been read: what it is, and whose."""
        self.asked_model, self.model = model or target, target
        session = identity.session
        self.facts["session"] = session if is_minted(session) else redact(session)
        self.facts["model"] = target
        if self.span.is_recorded:
            self.span.set({"gen_ai.conversation.id": identity.session})

    def admitted(self, waited_s: float) -> None:
        """It has a place, for which it has waited so long."""
        self.facts["waited_s"] = round(waited_s, 4)
        self.span.child("queue", ago_s=waited_s).end()

    def let_in(self, waited_s: float) -> None:
        """A turn may begin: its program fits the engine's cache after so long."""
        if waited_s >= NOTICED_S:
            self.span.child("admission", ago_s=waited_s).end()

    def generating(self, engine: str, call: Call) -> "Generating":
        """An engine is asked for a turn, for as long as the block."""
        self.facts["engine"] = engine
        attempt = self.turns[call.id] = self.turns.get(call.id, 0) + 1
        if not self.span.is_recorded:
            return Generating(self, self.span)
        operation = OPERATIONS[call.endpoint]
        span = self.span.child(f"{operation} {self.asked_model}", "client")
        span.set(
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": "roundhouse",
                "gen_ai.request.model": self.asked_model,
                "gen_ai.response.model": self.model,
                "gen_ai.response.id": call.id,
                "gen_ai.conversation.id": call.session or "",
                "roundhouse.engine": engine,
                "roundhouse.attempt": attempt,
            }
        )
        return Generating(self, span)

    def calling(self, call: ToolCall) -> "Calling":
        """A tool is called, for as long as the block."""
        self.tools.append(call.name)
        span = self.span.child(f"execute_tool {call.name}", "client")
        span.set(
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call.name,
                "gen_ai.tool.call.id": call.id,
                "gen_ai.tool.type": "function",
            }
        )
        return Calling(span)

    def body(self, name: str, text: str | bytes) -> None:
        """What was said, for the log of who has asked for bodies."""
        if self.keeps_bodies and text:
            self.facts[name] = excerpt(text)

    def end(self, outcome: str, status: int | None) -> None:
        """It has ended, in its one way."""
        if self.span.is_recorded:
            self._close(outcome, status)
        tell(logger, f"request {outcome}", self._line(outcome, status), is_clean=True)
        _current.set(None)
        trace_here.set(None)

    def _close(self, outcome: str, status: int | None) -> None:
        failed = outcome in ("internal_error", "engine_error", "tools_error", "stopped")
        self.span.set({"roundhouse.outcome": outcome})
        if status is not None:
            self.span.set({"http.response.status_code": status})
            failed = failed or status >= FAULTS
        self.span.end(outcome if failed else None)

    def _line(self, outcome: str, status: int | None) -> dict[str, Fact]:
        """What the log says; without secrets, for what is the client's or the model's is looked at
        where it comes in."""
        return {
            **self.facts,
            "endpoint": self.endpoint,
            "outcome": outcome,
            "status": status,
            "total_s": round(time.perf_counter() - self.began_s, 4),
            "ttft_s": None if self.first_s is None else round(self.first_s, 4),
            "prompt_tokens": self.prompt,
            "cached_tokens": self.cached,
            "completion_tokens": self.completion,
            "turns": len(self.turns),
            "retries": sum(self.turns.values()) - len(self.turns),
            "tools": redact(",".join(self.tools)) if self.tools else None,
        }


class Generating:
    """One engine's work on one turn: prefill until its first token, decode from then on."""

    __slots__ = ("_part", "_span", "_trail")

    def __init__(self, trail: Trail, span: Span) -> None:
        self._trail = trail
        self._span = span
        self._part = span.child("prefill")

    def __enter__(self) -> Self:
        return self

    def begins(self, event: Event) -> bool:
        """Whether this event is the first of the answer itself; not asked again after that."""
        if not isinstance(event, (Delta, Passed, ToolCall)):
            return False
        trail = self._trail
        if trail.first_s is None:
            trail.first_s = time.perf_counter() - trail.began_s
        self._part.end()
        self._part = self._span.child("decode")
        return True

    def ended(self, last: Event | None) -> None:
        """The engine has said everything, this last."""
        if not isinstance(last, Finished):
            return
        usage, trail = last.usage, self._trail
        trail.prompt += usage.prompt_tokens
        trail.cached += usage.cached_tokens
        trail.completion += usage.completion_tokens
        if not self._span.is_recorded:
            return
        self._span.set(
            {
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            }
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        fault = kind.__name__ if kind is not None and issubclass(kind, Exception) else None
        if kind is not None and fault is None:  # its caller has heard enough, or has gone
            self._span.set({"roundhouse.cut_off": True})
        self._part.end(fault)
        self._span.end(fault)


class Calling:
    """One tool call, as the gateway sees it."""

    __slots__ = ("_error", "_span")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._error: str | None = None

    @property
    def carrier(self) -> Mapping[str, str]:
        """For the tools service to go on from here."""
        return self._span.carrier

    def ended(self, outcome: ToolOutcome) -> ToolOutcome:
        """Note how it ended, and give that back."""
        self._span.set({"roundhouse.outcome": outcome.outcome})
        self._error = outcome.outcome if outcome.failed else None
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._span.end(self._error if kind is None else kind.__name__)


class Trails:
    """Begins the trails of all requests of a gateway."""

    def __init__(self, tracer: Tracer, log: LogConfig) -> None:
        self._tracer = tracer
        self._log = log

    def begin(self, endpoint: Endpoint, request_id: str, headers: Mapping[str, str]) -> Trail:
        """The trail of a request, from now on the current one of its task."""
        path = PATHS[endpoint]
        span = self._tracer.begin(f"POST {path}", headers)
        if span.is_recorded:
            span.set({"http.request.method": "POST", "http.route": path, "url.path": path})
        trail = Trail(span, endpoint, self._log.bodies, facts={"request": request_id})
        _current.set(trail)
        trace_here.set(span.trace_id)
        return trail


# Follows a request through its task and those of its tools.
_current: ContextVar[Trail | None] = ContextVar("trail", default=None)


def current() -> Trail:
    """The trail of the request that is served now; one that nobody reads outside of a request."""
    return _current.get() or Trail(Unrecorded({}))
