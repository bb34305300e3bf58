"""A server's errors as ours: whose fault a status is."""

import math
from collections.abc import Mapping

import msgspec

from engine.errors import (
    BadCall,
    ContextOverflow,
    EngineAway,
    EngineBusy,
    EngineError,
    EngineFailed,
)
from engine.http.wire import ErrorBody, Refusal, refusal

OVERFLOW = ("context_length_exceeded", "context length", "exceeds model's maximum", "too long")
CALLERS_FAULT = frozenset({400, 413, 415, 422})
OUR_KEY = frozenset({401, 403})
BUSY = frozenset({429, 503, 529})
AWAY = frozenset({408, 502, 504})
SAID_CHARS = 500
RETRY_MAX_S = 59.0


def from_status(
    server: str, status: int, headers: Mapping[str, str], content: bytes
) -> EngineError:
    """The error that an answer other than 200 means."""
    said = _read(content)
    text, param, code = _told(said, content)
    if status in CALLERS_FAULT:
        said_text = text or f"{server} refused the request with {status}"
        if _overflows(text, code):
            return ContextOverflow(said_text, None if param == "input_tokens" else param)
        return BadCall(said_text, param)
    if status in BUSY and (said is not None or "retry-after" in headers):
        return EngineBusy(f"{server} is full: {text}", _retry_after(headers))
    if status in OUR_KEY:
        return EngineFailed(f"{server} does not accept this gateway's key; the operator must")
    if status in AWAY or status in BUSY:
        return EngineAway(f"{server} is away ({status})")
    return EngineFailed(f"{server} failed ({status}): {text}")


def from_event(server: str, error: object) -> EngineError:
    """The error that a server told after its answer had begun."""
    text = error.get("message") if isinstance(error, dict) else error
    return EngineFailed(f"{server} failed: {str(text)[:SAID_CHARS]}")


def _read(content: bytes) -> Refusal | None:
    """The body, if it is a server's own and not that of a proxy before it."""
    try:
        said = refusal(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if said.error or said.message or said.detail else None


def _told(said: Refusal | None, content: bytes) -> tuple[str, str | None, str | None]:
    if said is None:
        return content.decode(errors="replace")[:SAID_CHARS], None, None
    error = said.error
    if isinstance(error, ErrorBody):
        code = error.code if isinstance(error.code, str) else None
        return (error.message or error.type or "")[:SAID_CHARS], error.param, code
    return str(error or said.message or said.detail)[:SAID_CHARS], None, None


def _overflows(text: str, code: str | None) -> bool:
    return code == OVERFLOW[0] or any(words in text for words in OVERFLOW)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        wait_s = float(headers.get("retry-after", "1"))
    except ValueError:  # a date: nobody who serves models sends one
        return 1.0
    return min(RETRY_MAX_S, max(1.0, wait_s)) if math.isfinite(wait_s) else 1.0
