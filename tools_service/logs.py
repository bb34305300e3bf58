"""The log: one line an event, for people or as JSON, without secrets and with the trace's id."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping

import msgspec

from telemetry.redact import redact
from tools_service.telemetry_config import LogConfig
from tools_service.tracing import trace_here

Fact = str | int | float | bool | None

_PLAIN = re.compile(r"[!#-<>-~]+")  # of ASCII, all but spaces, quotes and =
_encode = msgspec.json.Encoder().encode


class HumanFormatter(logging.Formatter):
    """`2026-01-01 12:00:00,000 INFO tools_service.executor call ok tool=search …`"""

    def __init__(self, known: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._known = tuple(known)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line itself; a traceback comes below it."""
        facts = _facts(record, self._known)
        said = [f"{name}={_word(value)}" for name, value in facts.items()]
        return " ".join([redact(super().formatMessage(record), self._known), *said])

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return redact(text, self._known) if record.exc_info or record.stack_info else text


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
        line.update(_facts(record, self._known))
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info), self._known)
        return _encode(line).decode()


def configure(config: LogConfig, known: Iterable[str]) -> None:
    """Everything to stderr in this form, without the known secrets and what else looks like one."""
    formatter = JsonFormatter(known) if config.format == "json" else HumanFormatter(known)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _facts(record: logging.LogRecord, known: tuple[str, ...]) -> dict[str, Fact]:
    """What a line says beside its message."""
    facts: Mapping[str, Fact] = getattr(record, "facts", {})
    said: dict[str, Fact] = {name: value for name, value in facts.items() if value is not None}
    words = {name: value for name, value in said.items() if isinstance(value, str)}
    together = "\n".join(words.values())
    if redact(together, known) != together:  # almost never; one look at all of them is cheap
        said |= {name: redact(value, known) for name, value in words.items()}
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
