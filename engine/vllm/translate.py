"""vLLM's errors as ours: the one place that knows both."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jinja2
from pydantic import ValidationError
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from engine.errors import (
    BadCall,
    ContextOverflow,
    EngineBusy,
    EngineDead,
    EngineError,
    EngineFailed,
)

OVERFLOW = ("maximum context length", "exceeds model's maximum")
TOO_MANY_REQUESTS = 429
SERVICE_UNAVAILABLE = 503
BAD_REQUESTS = range(400, 500)

# What vLLM's own code stumbles with when a body has the right keys and impossible values.
STUMBLES = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    RecursionError,
    OverflowError,
    NotImplementedError,
    jinja2.TemplateError,
)


def dead(engine: str) -> EngineDead:
    """The error of every request that a dead engine leaves behind."""
    return EngineDead(f"engine '{engine}' has died; this answer is lost, please send it again")


@contextmanager
def checking(engine: str, body: Mapping[str, object]) -> Iterator[None]:
    """Until the first token everything wrong is the request's fault, unless the engine is gone."""
    try:
        yield
    except EngineError:
        raise
    except EngineDeadError as error:
        raise dead(engine) from error
    except EngineGenerateError as error:
        _raise_ours(error)
        if isinstance(error.__cause__, STUMBLES):
            raise _bad(_said(error.__cause__), None) from error
        raise EngineFailed(f"engine '{engine}' failed: {_said(error)}") from error
    except ValidationError as error:
        raise from_pydantic(error, body) from error
    except VLLMValidationError as error:
        raise _bad(str(error.args[0] if error.args else error), error.parameter) from error
    except GracefulHTTPError as error:
        raise EngineBusy(f"engine '{engine}' is full: {error}") from error
    except VLLMClientError as error:
        raise _bad(str(error), None) from error
    except STUMBLES as error:
        raise _bad(f"the request can't be served: {_said(error)}", None) from error


@contextmanager
def generating(engine: str) -> Iterator[None]:
    """Once tokens flow everything wrong is the engine's fault."""
    try:
        yield
    except EngineDeadError as error:
        raise dead(engine) from error
    except EngineError:
        raise
    except Exception as error:  # the engine lives on; this one request ends here
        _raise_ours(error)
        raise EngineFailed(f"engine '{engine}' failed: {_said(error)}") from error


def _raise_ours(error: Exception) -> None:
    """What we ended a request with, vLLM hands on as the cause of an error of its own."""
    if isinstance(error.__cause__, EngineError):
        raise error.__cause__ from error


def from_pydantic(error: ValidationError, body: Mapping[str, object]) -> BadCall:
    """The first fault pydantic found, with the field's path in the body."""
    first = min(error.errors(include_url=False), key=lambda fault: len(fault["loc"]))
    path = ""
    node: object = body
    for depth, part in enumerate(first["loc"], 1):
        missing = first["type"] == "missing" and depth == len(first["loc"])
        if isinstance(part, int) and isinstance(node, list) and part < len(node):
            path += f"[{part}]"
            node = node[part]
        elif isinstance(node, Mapping) and (part in node or missing):
            path += f".{part}" if path else str(part)
            node = node.get(part)
        # Any other part is the name of a union's branch, not of a field.
    return BadCall(f"{path or 'the body'}: {first['msg']}", path or None)


def from_response(response: ErrorResponse, engine: str) -> EngineError:
    """An error that vLLM's serving layer returned instead of raising."""
    info = response.error
    if info.code in (SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS):
        return EngineBusy(f"engine '{engine}' is full: {info.message}")
    if info.code in BAD_REQUESTS:
        return _bad(info.message, info.param)
    return EngineFailed(f"engine '{engine}' failed: {info.message}")


def _bad(message: str, param: str | None) -> BadCall:
    if any(words in message for words in OVERFLOW):
        return ContextOverflow(message, None if param == "input_tokens" else param)
    return BadCall(message, param)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
