"""The log: one line an event, for people or as JSON, without secrets and with the trace's id."""

import json
import logging
import re
import sys
from collections.abc import Mapping

import msgspec

from gateway.config import LogConfig
from gateway.tracing import trace_here
from telemetry.redact import redact

Fact = str | int | float | bool | None

_PLAIN = re.compile(r"[!#-<>-~]+")  # of ASCII, all but spaces, quotes and =
_encode = msgspec.json.Encoder().encode


class HumanFormatter(logging.Formatter):
    """`INFO gateway.requests: request ok status=200 …`"""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line itself; a traceback comes below it."""
        said = [f"{name}={_word(value)}" for name, value in _facts(record).items()]
        return " ".join([redact(super().formatMessage(record)), *said])

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return redact(text) if record.exc_info or record.stack_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the traceback in it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Fact] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        line.update(_facts(record))
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return _encode(line).decode()


def configure(config: LogConfig) -> None:
    """Everything to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else HumanFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    """What a line says beside its message."""
    facts: Mapping[str, Fact] = getattr(record, "facts", {})
    said: dict[str, Fact] = {name: value for name, value in facts.items() if value is not None}
    words = {name: value for name, value in said.items() if isinstance(value, str)}
    together = "\n".join(words.values())
    if redact(together) != together:  # almost never; one look at all of them is cheap
        said |= {name: redact(value) for name, value in words.items()}
    if (trace := trace_here.get()) is not None:
        said["trace"] = trace
    return said


def _word(value: Fact) -> str:
    """As it is, or quoted where its end would not be seen, or where it could look like a line."""
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())
