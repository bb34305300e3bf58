"""What runs a model's code, and what comes of it."""

from dataclasses import dataclass
from typing import Protocol

from tools_service.tools.python.cell import Cell


@dataclass(frozen=True, slots=True)
class Ran:
    """What the code printed, then the value of its last expression or how it failed."""

    text: str
    ok: bool = True


class Engine(Protocol):
    """Runs code within its bounds of time, memory and output, reaching nothing outside."""

    about: str
    """What a model must know of it to write code for it."""

    async def run(self, cell: Cell) -> Ran:
        """Cancelling it ends the run, and whatever the run started, before it returns."""
        ...


def too_long(printed: str, timeout_s: float) -> Ran:
    """The code was stopped by the clock."""
    return Ran(f"{printed}[stopped: it did not finish within {timeout_s:g} s]", ok=False)


def too_much(printed: str, limit: int) -> Ran:
    """The code was stopped because of what it printed."""
    return Ran(f"{printed[:limit]}\n[stopped: it printed more than {limit} characters]", ok=False)


def with_line_end(text: str) -> str:
    """So that what follows begins a line."""
    return text if not text or text.endswith("\n") else f"{text}\n"
