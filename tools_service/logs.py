"""The log: one line an event, for people or as JSON, without secrets and with the trace's id."""

import logging
import sys
from collections.abc import Iterable, Mapping

import msgspec

from tools_service.redact import RedactingFormatter, redact
from tools_service.telemetry_config import LogConfig
from tools_service.tracing import trace_here

EXCERPT = 4000

Fact = str | int | float | bool | None

_encode = msgspec.json.Encoder().encode


class HumanFormatter(RedactingFormatter):
    """`2026-01-01 12:00:00,000 INFO tools_service.executor call ok tool=search …`"""

    def __init__(self, known: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s", known)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line itself; a traceback comes below it."""
        said = [f"{name}={_word(value)}" for name, value in _facts(record).items()]
        return " ".join([super().formatMessage(record), *said])


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the traceback in it."""

    def __init__(self, known: Iterable[str]) -> None:
        super().__init__()
        self._known = tuple(known)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Fact] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage(), self._known),
        }
        for name, value in _facts(record).items():
            line[name] = redact(value, self._known) if isinstance(value, str) else value
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info), self._known)
        return _encode(line).decode()


def configure(config: LogConfig, known: Iterable[str]) -> None:
    """Everything to stderr in this form, without the known secrets and what else looks like one."""
    formatter = JsonFormatter(known) if config.format == "json" else HumanFormatter(known)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def excerpt(body: str) -> str:
    """The beginning of a body, without secrets; a secret at the cut is still whole when it goes."""
    text = redact(body[: 4 * EXCERPT])
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    """What a line says beside its message."""
    facts: Mapping[str, Fact] = getattr(record, "facts", {})
    said: dict[str, Fact] = {name: value for name, value in facts.items() if value is not None}
    if (trace := trace_here.get()) is not None:
        said["trace"] = trace
    return said


def _word(value: Fact) -> str:
    """As it is, or quoted where its end would not be seen, or where it could look like a line."""
    text = str(value)
    plain = text.isprintable() and text and not any(mark in text for mark in ' ="')
    return text if plain else _encode(text).decode()
