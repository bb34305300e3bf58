"""Traces as our processes see them: W3C's context, and the seam to whatever records spans."""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Literal, Protocol, Self, TypeAlias

Kind: TypeAlias = Literal["internal", "server", "client"]
Attributes: TypeAlias = Mapping[str, str | bool | int | float | Sequence[str]]

# https://www.w3.org/TR/trace-context/: version 00 ends with its flags, later ones may go on.
_TRACEPARENT = re.compile(
    r"(?:(00)|(?!ff|00)[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}"
    r"-[0-9a-f]{2}(?(1)|(?:-.*)?)"
)


trace_here: ContextVar[str | None] = ContextVar("trace_here", default=None)
"""The trace of what is served now: a log handler has no other way to know it."""


class Span(Protocol):
    """A piece of a trace, which must be ended."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def is_recorded(self) -> bool:
        """Whether anybody looks; if not, nothing needs to be said."""

    @property
    def carrier(self) -> Mapping[str, str]:
        """W3C's `traceparent` and `tracestate`, for the other side to go on from here."""

    def child(self, name: str, kind: Kind = "internal", ago_s: float = 0.0) -> "Span":
        """A span within this one, which began so long ago."""

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""

    def active(self) -> AbstractContextManager[object]:
        """What libraries send to other servers within the block belongs to this span."""

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is what went wrong, of a short list."""


class Tracer(Protocol):
    """Begins the spans of requests and calls, and brings them to where they are looked at."""

    def begin(self, name: str, headers: Mapping[str, str]) -> Span:
        """The first span; it continues the trace that the headers name."""

    def open(self) -> None:
        """Spans may come."""

    async def close(self) -> None:
        """Export what is left, within a bound."""


class Unrecorded:
    """A span that nobody records: an id for logs and headers, handed on as it came."""

    __slots__ = ("_headers", "trace_id")
    is_recorded = False

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers if (trace_id := continued(headers)) else {}
        self.trace_id = trace_id or secrets.token_hex(16)

    @property
    def carrier(self) -> Mapping[str, str]:
        if not self._headers:  # the first of its trace; 00: and not sampled
            return {"traceparent": f"00-{self.trace_id}-{secrets.token_hex(8)}-00"}
        names = ("traceparent", "tracestate")
        return {name: self._headers[name] for name in names if name in self._headers}

    def child(self, name: str, kind: Kind = "internal", ago_s: float = 0.0) -> Self:
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

    def begin(self, name: str, headers: Mapping[str, str]) -> Span:
        return Unrecorded(headers)

    def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to export."""


def continued(headers: Mapping[str, str]) -> str | None:
    """The id of the trace that a caller asks to continue, if it does so correctly."""
    said = headers.get("traceparent")
    found = _TRACEPARENT.fullmatch(said.strip()) if said is not None else None
    return found["trace"] if found else None
