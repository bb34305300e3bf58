"""The `ingest` command: progress while it runs, a report at the end, a way on if interrupted.

Exit status: 0 all is indexed, 1 something failed, 2 it could not begin, 128 + n after signal n.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from tools_service.errors import BadIndex, ConfigError, ToolFailed
from tools_service.retrieval_config import RetrievalConfig

_FAILURES_SHOWN = 50
_CHANGES = ("new", "changed", "unchanged", "removed", "skipped", "failed")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class Tally:
    """What has been done so far."""

    changes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def note(self, path: str, change: str, why: str) -> None:
        if change == "failed":
            self.fail(path, why)
        elif change == "skipped":
            self.skipped[why] += 1
        else:
            self.changes[change] += 1

    def fail(self, path: str, why: str) -> None:
        self.changes["failed"] += 1
        if len(self.failures) < _FAILURES_SHOWN:
            self.failures.append(f"{path}: {why}")

    def summary(self) -> str:
        counts = self.changes + Counter(skipped=self.skipped.total())
        return ", ".join(f"{counts[change]} {change}" for change in _CHANGES)


async def ingest(config: RetrievalConfig, folder: Path, environ: Mapping[str, str]) -> int:
    """Brings the index up to date with a folder; the exit status. Raises ConfigError."""
    console = Console(highlight=False, soft_wrap=True)
    tally, stops = Tally(), _Stops()
    try:
        with stops:
            await _ingest(config, folder, environ, tally)
    except (BadIndex, ToolFailed) as exc:
        if isinstance(exc, BadIndex) and not tally.changes:
            raise ConfigError(str(exc)) from exc
        tally.fail("not finished", f"{exc}; what is done is kept: run it again to go on")
    except asyncio.CancelledError:
        if stops.received is None:
            raise
    _report(console, tally)
    if stops.received is not None:
        _say(console, "interrupted; the index is whole: run the same command again to go on")
        return 128 + stops.received
    return 1 if tally.changes["failed"] else 0


async def _ingest(
    config: RetrievalConfig, folder: Path, environ: Mapping[str, str], tally: Tally
) -> None:
    if not await asyncio.to_thread(folder.is_dir):
        raise ConfigError(f"{folder} is not a folder")
    # Here, because the service's own process has no need of numpy.
    from tools_service.tools.retrieval import build, index
    from tools_service.tools.retrieval.ingest import Ingest, alone
    from tools_service.tools.retrieval.survey import survey

    async with build.embedder(config.embedder, environ) as embedder:
        with (
            alone(config.index),
            build.stored(config.store, environ) as vectors,
            index.opened(config.index, create=True) as opened,
            _progress() as progress,
        ):
            found = survey(folder, config.file_bytes)
            for path, why in found.closed.items():
                tally.fail(path, why)
            tally.skipped.update(found.skipped)
            task = progress.add_task("ingesting", total=len(found.files))
            writing = Ingest(config, opened, embedder, vectors(opened.connection))
            async for step in writing.run(found):
                tally.note(step.path, step.change, step.why)
                progress.advance(task, step.change != "removed")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False, soft_wrap=True),
    )


def _report(console: Console, tally: Tally) -> None:
    for reason, count in sorted(tally.skipped.items()):
        _say(console, f"skipped: {count} {reason}")
    for failure in tally.failures:
        _say(console, f"failed: {failure}")
    if (more := tally.changes["failed"] - len(tally.failures)) > 0:
        _say(console, f"failed: {more} more")
    _say(console, tally.summary())


def _say(console: Console, text: str) -> None:
    with suppress(OSError, SystemExit):  # a reader that has gone
        console.print(Text(text))


class _Stops:
    """While entered, a signal cancels the task that entered; `received` is which one came."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int) -> None:
            self.received = number
            task.cancel()

        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop, number)

    def __exit__(self, *ended: object) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
