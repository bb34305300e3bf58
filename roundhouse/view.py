"""What the user sees while the processes start and run."""

import re
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

# (EngineCore pid=7) INFO 11-20 18:20:01 [core.py:105] text -> text
LOG_LINE = re.compile(
    r"[\d:., -]*(?:\([^)]*\)\s*)?(?:INFO|WARNING|ERROR):?\s+(?:[\d:., -]+)?(?:\[[^\]]*\]\s*)?(.+)"
)
# What triton's bindings say at every exit; nobody can act on it.
NOISE = re.compile(r"nanobind|^ - leaked |^ - \.\.\. skipped remainder")
KEPT = 30  # hidden lines, shown after all when the start fails
COLOURS = {"gateway": "cyan", "tools_service": "magenta"}


def tell(console: Console, text: Text) -> None:
    """Print, if anybody is there to read.

    A terminal that is gone must not keep the processes from being watched and stopped. (Rich
    answers a broken pipe with SystemExit.)
    """
    with suppress(OSError, SystemExit):
        console.print(text, soft_wrap=True)


class View:
    """On a terminal a spinner with the newest log line; elsewhere, or if verbose, every line.

    Once the start is over, every line is shown in both cases.
    """

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self.console = console
        self.quiet = console.is_terminal and not verbose
        self.hidden: deque[tuple[str, str]] = deque(maxlen=KEPT)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[line]}", markup=True),
            console=console,
            transient=True,
            disable=not self.quiet,
        )
        self.task: TaskID = self.progress.add_task("starting", total=None, line="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.started(explain=kind is not None)

    def wait_for(self, what: str) -> None:
        """Say what is being waited for."""
        self.progress.update(self.task, description=what)
        if not self.quiet:
            self.say(f"{what} …")

    def say(self, text: str, style: str = "") -> None:
        """One line of our own."""
        tell(self.console, Text(f"roundhouse: {text}", style=style))

    def hear(self, name: str, line: str) -> None:
        """One line of a process's log."""
        if NOISE.search(line):
            return
        if not self.quiet:
            self.show(name, line)
            return
        self.hidden.append((name, line))
        if message := LOG_LINE.match(line):
            self.progress.update(self.task, line=escape(message[1][:100]))

    def show(self, name: str, line: str) -> None:
        head = Text(f"{name:>13} | ", style=COLOURS.get(name, ""))
        tell(self.console, head + Text.from_ansi(line))

    def started(self, explain: bool = False) -> None:
        """No more spinner: from here every line is shown, to explain also the last hidden ones."""
        self.progress.stop()
        for name, line in self.hidden if explain else ():
            self.show(name, line)
        self.hidden.clear()
        self.quiet = False
