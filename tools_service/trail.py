"""What one call leaves behind in its trace: its wait for a slot, and every attempt."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from telemetry.tracing import Span, Tracer, Unrecorded, trace_here

_WELL = ("ok", "asked")


@dataclass(slots=True, eq=False)
class Trail:
    """One call's."""

    span: Span
    error: str | None = None

    def waited(self, wait_s: float) -> None:
        """It has a slot, for which it has waited so long."""
        self.span.child("wait", ago_s=wait_s).end()

    @contextmanager
    def attempt(self, number: int) -> Iterator["Attempt"]:
        """The tool runs for as long as the block."""
        attempt = Attempt(self.span.child("run"))
        attempt.span.set({"roundhouse.attempt": number})
        try:
            with attempt.span.active():
                yield attempt
        finally:
            attempt.span.end(attempt.error)

    def ended(self, outcome: str, *, attempts: int, shared: bool, cached: bool) -> None:
        """Its one outcome."""
        self.span.set(
            {
                "roundhouse.outcome": outcome,
                "roundhouse.attempts": attempts,
                "roundhouse.shared": shared,
                "roundhouse.cached": cached,
            }
        )
        self.error = None if outcome in _WELL else outcome


@dataclass(slots=True, eq=False)
class Attempt:
    """One run of the tool."""

    span: Span
    error: str | None = "cancelled"
    """What has gone wrong; an attempt that never says how it ended was stopped."""

    def ended(self, outcome: str) -> None:
        """How it ended."""
        self.error = None if outcome in _WELL else outcome


class Trails:
    """Begins the trails of all calls."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def call(self, tool: str, carrier: Mapping[str, str]) -> Iterator[None]:
        """A call for as long as the block, with the current trail of its task."""
        span = self._tracer.begin(f"tools/call {tool}", carrier)
        span.set(
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool,
                "mcp.method.name": "tools/call",
            }
        )
        trail = Trail(span)
        here, trace = _current.set(trail), trace_here.set(span.trace_id)
        try:
            yield
        finally:
            trace_here.reset(trace)
            _current.reset(here)
            span.end(trail.error)


# Follows a call through its task and those of its run.
_current: ContextVar[Trail | None] = ContextVar("trail", default=None)


def current() -> Trail:
    """The trail of the call that runs now; one that nobody reads outside of a call."""
    return _current.get() or Trail(Unrecorded({}))
