"""Traces as the tools service sees them: W3C's context, and the seam to whatever records spans."""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol, Self, TypeAlias

Attributes: TypeAlias = Mapping[str, str | bool | int | float | Sequence[str]]

# https://www.w3.org/TR/trace-context/: version 00 ends with its flags, later ones may go on.
_TRACEPARENT = re.compile(
    r"(?:(00)|(?!ff|00)[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}"
    r"-[0-9a-f]{2}(?(1)|(?:-.*)?)"
)
trace_here: ContextVar[str | None] = ContextVar("trace_here", default=None)
"""The trace of the call that runs now: a log handler has no other way to know it."""


class Span(Protocol):
    """A piece of a trace, which must be ended."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def child(self, name: str, ago_s: float = 0.0) -> "Span":
        """A span within this one, which began so long ago."""

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""

    def active(self) -> AbstractContextManager[object]:
        """What is sent to other MCP servers within the block belongs to this span."""

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is what went wrong, of a short list."""


class Tracer(Protocol):
    """Begins the spans of calls, and brings them to where they are looked at."""

    def begin(self, name: str, carrier: Mapping[str, str]) -> Span:
        """The first span of a call; it continues the trace that the carrier names."""

    async def close(self) -> None:
        """Export what is left, within a bound."""


class Unrecorded:
    """A span that nobody records: an id for the log."""

    __slots__ = ("trace_id",)

    def __init__(self, carrier: Mapping[str, str]) -> None:
        found = _TRACEPARENT.fullmatch(carrier.get("traceparent", "").strip())
        self.trace_id = found["trace"] if found else secrets.token_hex(16)

    def child(self, name: str, ago_s: float = 0.0) -> Self:
        return self

    def set(self, attributes: Attributes) -> None:
        """Nobody looks."""

    def active(self) -> AbstractContextManager[object]:
        # The MCP SDK hands on what came with the call by itself.
        return nullcontext()

    def end(self, error: str | None = None) -> None:
        """Nobody looks."""


class Untraced:
    """The tracer while no endpoint is configured."""

    def begin(self, name: str, carrier: Mapping[str, str]) -> Span:
        return Unrecorded(carrier)

    async def close(self) -> None:
        """There is nothing to export."""
