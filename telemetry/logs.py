"""The log: one line an event, for people or as JSON, without secrets and with the trace's id."""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from telemetry.redact import redact
from telemetry.tracing import trace_here

Fact = str | int | float | bool | None

_PLAIN = re.compile(r"[!#-<>-~]+")  # of ASCII, all but spaces, quotes and =
_PLAIN_FACTS = re.compile(rf"(?: \w+={_PLAIN.pattern})*", re.ASCII)
_encode = msgspec.json.Encoder().encode


_UNSAID = vars(logging.LogRecord("", logging.INFO, "", 0, "", None, None))


class Line(logging.LogRecord):
    """An event that is all facts, as every request leaves one.

    The library's own record asks for the caller, the thread, the process and the task, which costs
    as much as the rest of the line and stands in none.
    """

    def __init__(
        self, name: str, message: str, facts: Mapping[str, Fact], *, is_clean: bool
    ) -> None:
        self.__dict__.update(_UNSAID)  # foreign formatters look for them there
        self.is_clean = is_clean
        self.name = name
        self.msg = message
        self.facts = facts
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


def tell(
    logger: logging.Logger, message: str, facts: Mapping[str, Fact], *, is_clean: bool = False
) -> None:
    """Log an event with what there is to say of it.

    `is_clean` says that what others have written in it has been through `redact` already.
    """
    if logger.isEnabledFor(logging.INFO):
        logger.handle(Line(logger.name, message, facts, is_clean=is_clean))


class HumanFormatter(logging.Formatter):
    """`2026-01-01 12:00:00,000 INFO gateway.requests: request ok status=200 …`"""

    def __init__(self, known: Iterable[str] = ()) -> None:
        super().__init__()
        self._known = tuple(known)
        self._second = -1
        self._stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it."""
        message, facts = _clean(record, self._known)
        said = "".join([f" {name}={value}" for name, value in facts.items()])
        # One look at all of them: nearly every line is plain.
        if not _PLAIN_FACTS.fullmatch(said) or said.count("=") != len(facts):
            facts = {name: _quoted(value) for name, value in facts.items()}
            said = "".join([f" {name}={value}" for name, value in facts.items()])
        line = f"{self._time(record.created)} {record.levelname} {record.name}: {message}{said}"
        if not record.exc_info and not record.stack_info:
            return line
        below = [line]
        if record.exc_info:
            below.append(redact(self.formatException(record.exc_info), self._known))
        if record.stack_info:
            below.append(redact(self.formatStack(record.stack_info), self._known))
        return "\n".join(below)

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:  # lines come many in a second
            self._second = second
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{int(created % 1 * 1000):03}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the traceback in it."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        super().__init__()
        self._known = tuple(known)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        message, facts = _clean(record, self._known)
        line: dict[str, Fact] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **facts,
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info), self._known)
        return _encode(line).decode()


def configure(form: Literal["human", "json"], known: Iterable[str] = ()) -> None:
    """Everything to stderr in this form, without the known secrets and what else looks like one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(known) if form == "json" else HumanFormatter(known))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _clean(record: logging.LogRecord, known: tuple[str, ...]) -> tuple[str, dict[str, Fact]]:
    """A line's message, and what it says beside it, without secrets."""
    message = record.getMessage()
    facts: Mapping[str, Fact] = getattr(record, "facts", {})
    said: dict[str, Fact] = {name: value for name, value in facts.items() if value is not None}
    if known or not getattr(record, "is_clean", False):
        message = _without_secrets(message, said, known)
    if (trace := trace_here.get()) is not None:
        said["trace"] = trace
    return message, said


def _without_secrets(message: str, said: dict[str, Fact], known: tuple[str, ...]) -> str:
    """The message; of what is said beside it, secrets are taken out in place."""
    words = [value for value in said.values() if type(value) is str]
    together = "\n".join([message, *words])
    if redact(together, known) == together:  # nearly always; one look at all of them is cheap
        return message
    for name, value in said.items():
        if isinstance(value, str):
            said[name] = redact(value, known)
    return redact(message, known)


def _quoted(value: Fact) -> Fact:
    """As it is, or in quotes where its end would not be seen, or it could look like a line."""
    if not isinstance(value, str) or _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())
