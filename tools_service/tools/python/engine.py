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
    end = f"[stopped: it did not finish within {timeout_s:g} s]"
    return Ran(ended(printed, end, len(end)), ok=False)


def crashed(printed: str) -> Ran:
    """The interpreter itself ended before the code did: killed, or broken by the code."""
    end = "[stopped: the interpreter crashed or was ended by a limit]"
    return Ran(ended(printed, end, len(end)), ok=False)


def too_much(printed: str, limit: int) -> Ran:
    """The code was stopped because of what it printed."""
    end = f"[stopped: it printed more than {limit} characters]"
    return Ran(ended(printed[:limit], end, len(end)), ok=False)


def ended(printed: str, end: str, limit: int) -> str:
    """What was printed, then on a line of its own a value or a traceback.

    Of a long traceback the end is kept, which says what went wrong.
    """
    said = printed if not printed or printed.endswith("\n") else f"{printed}\n"
    return f"{said}{end[-limit:]}"
