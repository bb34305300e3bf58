"""What the simulated service did, as Markdown and as a picture."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.tools_world import Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One variant under one load with one seed."""

    variant: str
    load: float
    seed: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise, what was found, and whether it is kept."""

    text: str
    found: str
    met: bool


Figure = Callable[[Outcome], float]

FIGURES: dict[str, Figure] = {
    "wait mean": lambda found: found.wait_mean_s,
    "wait p95": lambda found: found.wait_p95_s,
    "longest wait": lambda found: found.wait_longest_s,
    "turn mean": lambda found: found.turn_mean_s,
    "turn p50": lambda found: found.turn_p50_s,
    "turn p95": lambda found: found.turn_p95_s,
    "turn p99": lambda found: found.turn_p99_s,
}
MEAN: Figure = FIGURES["turn mean"]


def average(rows: Iterable[Row], variant: str, load: float, figure: Figure) -> float:
    """The mean over the seeds."""
    return statistics.fmean(figure(row.outcome) for row in chosen(rows, variant, load))


def chosen(rows: Iterable[Row], variant: str, load: float) -> list[Row]:
    """The runs of one cell, by seed."""
    cell = [row for row in rows if row.variant == variant and row.load == load]
    return sorted(cell, key=lambda row: row.seed)


def ratios(rows: Sequence[Row], variant: str, other: str, load: float) -> list[float]:
    """`variant` over `other` in the mean time of a turn, for each seed: the same turns."""
    pairs = zip(chosen(rows, variant, load), chosen(rows, other, load), strict=True)
    return [MEAN(one.outcome) / MEAN(two.outcome) for one, two in pairs]


def speedup(rows: Sequence[Row], variant: str, load: float) -> float:
    """How many times faster than `fifo` the mean turn of all seeds is."""
    return average(rows, "fifo", load, MEAN) / average(rows, variant, load, MEAN)


def speedup_error(rows: Sequence[Row], variant: str, load: float) -> float | None:
    """The standard error of `speedup`, by leaving out one seed after the other (jackknife)."""
    seeds = {row.seed for row in chosen(rows, variant, load)}
    if len(seeds) < 2:
        return None
    without = [speedup([row for row in rows if row.seed != s], variant, load) for s in seeds]
    return math.sqrt((len(seeds) - 1) * statistics.pvariance(without))


def loads(rows: Iterable[Row]) -> list[float]:
    """All loads, ascending."""
    return sorted({row.load for row in rows})


def variants(rows: Iterable[Row]) -> list[str]:
    """All variants, in the order in which they ran."""
    return list(dict.fromkeys(row.variant for row in rows))


def markdown(
    rows: Sequence[Row], goals: Sequence[Goal], facts: dict[str, str], picture: str | None
) -> str:
    """The whole report."""
    parts = ["# Which waiting tool call goes first", listing(facts)]
    parts += ["## Goals", table(["goal", "found", ""], _goals(goals))]
    if picture:
        parts.append(f"![Mean time of a turn and longest wait, by load]({picture})")
    for load in loads(rows):
        parts += [f"## Load {load:g}", _cells(rows, load)]
    return "\n\n".join(parts) + "\n"


def listing(facts: dict[str, str]) -> str:
    """What the run was, as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _goals(goals: Sequence[Goal]) -> list[list[str]]:
    return [[goal.text, goal.found, "met" if goal.met else "**missed**"] for goal in goals]


def _cells(rows: Sequence[Row], load: float) -> str:
    lines = []
    for variant in variants(rows):
        outcomes = [row.outcome for row in chosen(rows, variant, load)]
        figures = [statistics.fmean(map(figure, outcomes)) for figure in FIGURES.values()]
        ratio = statistics.fmean(ratios(rows, variant, "fifo", load))
        lines.append([variant, *(f"{figure:.2f}" for figure in figures), f"{ratio:.2f}"])
    least_s = average(rows, "fifo", load, lambda found: found.least_s)
    note = f"Seconds, means over the seeds. A turn that never waits: {least_s:.2f} on average.\n\n"
    return note + table(["variant", *FIGURES, "turn mean / fifo"], lines)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
