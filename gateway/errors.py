"""What can go wrong at the front door, in OpenAI's words.

GatewayError                     status, type, code, message, param, headers
├── BadRequest              400  the request is wrong; names the field
│   └── ContextTooLong      400  the message begins with `context_length_exceeded`
├── Unauthorized            401  no key, or a wrong one
├── NotFound                404  no such model or page
├── MethodNotAllowed        405
├── Conflict                409  what is asked for can't be done as things stand
├── TooLarge                413  the body is over the limit
├── SessionSpent        400  the session has used up what one session may
├── Overloaded              429  always with Retry-After
│   └── LimitReached    429  the key has used up what its terms allow for now
├── Internal                500  our bug
├── GenerationFailed        500  this request failed in the engine
├── EngineGone              503  the engine died or does not answer, or none is left
├── ToolsDown               503  the tools service does not answer
└── Stopping                503  the gateway is shutting down
"""

import math
from collections.abc import Mapping
from typing import ClassVar

from engine.errors import (
    BadCall,
    CannotSleep,
    ContextOverflow,
    EngineAway,
    EngineBusy,
    EngineDead,
    EngineError,
)


class GatewayError(Exception):
    """An error a client is told about."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        if code is not None:
            self.code = code

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error object."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class BadRequest(GatewayError):
    """The request is wrong; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class ContextTooLong(BadRequest):
    """Prompt and answer don't fit.

    LangChain, and so DeepAgents, recognises an overflow by the message alone and by these words;
    it then summarises and tries again.
    """

    code = "context_length_exceeded"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(f"context_length_exceeded: {message}", param=param)


class Unauthorized(GatewayError):
    """No key, or a wrong one."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class NotFound(GatewayError):
    """No such model or page."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(GatewayError):
    """The page exists, but not for this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    """What is asked for can't be done as things stand."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class TooLarge(GatewayError):
    """The body is over the limit."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class Overloaded(GatewayError):
    """Refused at the door; the client may come again after `retry_after_s`."""

    status = 429
    type = "rate_limit_error"
    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(message, code=code, headers={"retry-after": str(retry_after_s)})


class LimitReached(Overloaded):
    """The key has used up what its terms allow for now."""

    code = "rate_limit_exceeded"


class SessionSpent(GatewayError):
    """The session has used up what one session may; 400, because nobody should try again."""

    status = 400
    type = "invalid_request_error"
    code = "session_limit_exceeded"


class Internal(GatewayError):
    """Our bug; the log has it under the request's id."""


class GenerationFailed(GatewayError):
    """This request failed in the engine."""

    code = "generation_failed"


class EngineGone(GatewayError):
    """The engine died, or none is left."""

    status = 503
    code = "engine_unavailable"


class ToolsDown(GatewayError):
    """The tools service does not answer."""

    status = 503
    code = "tools_unavailable"


class Stopping(GatewayError):
    """The gateway is shutting down."""

    status = 503
    code = "shutting_down"


def from_engine(error: EngineError) -> GatewayError:
    """An engine's error as the client's."""
    message = str(error)
    if isinstance(error, ContextOverflow):
        return ContextTooLong(message, param=error.param)
    if isinstance(error, BadCall):
        return BadRequest(message, param=error.param)
    if isinstance(error, EngineBusy):
        wait_s = min(59, max(1, math.ceil(error.retry_after_s)))
        return Overloaded(message, retry_after_s=wait_s, code="engine_busy")
    if isinstance(error, EngineAway):
        return EngineGone(message, headers={"retry-after": "1"})
    if isinstance(error, EngineDead):
        return EngineGone(message)
    if isinstance(error, CannotSleep):
        return Conflict(message)
    return GenerationFailed(message)
