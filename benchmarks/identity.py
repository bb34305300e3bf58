"""`python -m benchmarks identity`: what recognising a session costs, and whether it is right."""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.commands import Command
from benchmarks.identity_load import PATHS, SESSION, Load
from benchmarks.identity_replay import Verdict, read, replay
from benchmarks.machine import describe

SEEDS = 100
GC_THRESHOLD = 50_000  # the gateway's own


def configure(options: argparse.ArgumentParser) -> None:
    """The options."""
    options.add_argument("--live", type=int, default=10_000, help="live sessions")
    options.add_argument("--rounds", type=int, default=1000, help="requests of every kind")
    options.add_argument("--sessions", type=int, default=50, help="whole sessions")
    options.add_argument("--requests", type=Path, help="recorded requests to replay, as JSON lines")
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/identity.md"))


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of one request of a kind."""

    p50: float
    p99: float
    mean: float


def run(args: argparse.Namespace) -> None:
    """Measure, print, and write the table."""
    load = Load(args.live, random.Random(0))
    with _collecting_seldom():
        sessions = chain.from_iterable(load.session() for _ in range(args.sessions))
        costs = {SESSION: _measure(sessions)}
        for name, make in PATHS.items():
            costs[name] = _measure(make(load) for _ in range(args.rounds))
    verdicts = []
    if args.requests is not None:
        recorded = read(args.requests)
        verdicts = [replay(recorded, seed) for seed in (None, *range(SEEDS))]
    report = "\n".join([*_head(args, len(load)), *_table(costs), *_accuracy(verdicts)]) + "\n"
    args.out.write_text(report)
    print(report)  # noqa: T201


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """The garbage collector as the gateway sets it."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _measure(works: Iterable[Callable[[], object]]) -> Cost:
    took = []
    for work in works:
        start = time.thread_time_ns()
        work()
        took.append((time.thread_time_ns() - start) / 1000)
    cuts = statistics.quantiles(took, n=100)
    return Cost(statistics.median(took), cuts[98], statistics.fmean(took))


def _head(args: argparse.Namespace, live: int) -> list[str]:
    return [
        "# Recognising sessions",
        "",
        f"`python -m benchmarks identity`: {live} live sessions, {args.sessions} whole sessions,",
        f"{args.rounds} requests of every other kind.",
        "",
        *(f"- {name}: {value}" for name, value in describe().items()),
        "",
    ]


def _table(costs: dict[str, Cost]) -> list[str]:
    rows = [
        f"| {name} | {cost.p50:.1f} | {cost.mean:.1f} | {cost.p99:.1f} |"
        for name, cost in costs.items()
    ]
    return [
        "Microseconds of CPU of a request, for everything identity does: reading the names in the",
        "headers and the body, finding the session, opening and leaving it, noting the answer (its",
        "call's id and arguments, its text). Not in it: reading and decoding the body.",
        "",
        "| request | p50 | mean | p99 |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _accuracy(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return []
    first = verdicts[0]
    by = ", ".join(f"{count} by {name}" for name, count in sorted(first.by.items()))
    return [
        f"Recorded requests of real clients ({first.requests}, which are {first.conversations}",
        f"conversations), as recorded and in {len(verdicts) - 1} random orders:",
        "",
        "| | as recorded | random, worst | random, mean |",
        "|---|---|---|---|",
        *(_row(name, verdicts) for name in ROWS),
        "",
        f"As recorded: {by}.",
    ]


ROWS: dict[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "found": ("sessions found", min),
    "split": ("conversations split", max),
    "merged": ("sessions merged", max),
    "linked": ("sub-agents linked", min),
    "linked_elsewhere": ("of them to another client that asked for the same", max),
}


def _row(name: str, verdicts: Sequence[Verdict]) -> str:
    title, worst = ROWS[name]
    values: list[Any] = [getattr(verdict, name) for verdict in verdicts]
    mean = statistics.fmean(values[1:])
    return f"| {title} | {values[0]} | {worst(values[1:])} | {mean:.2f} |"


IDENTITY = Command(
    "identity", "what recognising sessions costs, and whether it is right", configure, run
)
