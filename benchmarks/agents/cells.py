"""Figures over the seeds: means with their intervals, ratios seed by seed, the best of a family."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from benchmarks.agents.policies import CAP, CLAIRVOYANT, VANILLA
from benchmarks.agents.runs import Row
from benchmarks.agents.tally import Outcome

BEST_CAP = "best cap"

Figure: TypeAlias = Callable[[Outcome], float]

# Student's t for 95 % of both sides, by degrees of freedom from 1 on.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T95_MORE = 2.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over the seeds and half of its 95 % interval; None of one seed."""

    mean: float
    half: float | None

    def text(self, digits: int) -> str:
        """As `mean ± half`."""
        if self.half is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {self.half:.{digits}f}"


def interval(values: Sequence[float]) -> Interval:
    """The mean and how well it is known."""
    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return Interval(mean, None)
    t = _T95[count - 2] if count - 2 < len(_T95) else _T95_MORE
    return Interval(mean, t * statistics.stdev(values) / math.sqrt(count))


def turns_per_s(outcome: Outcome) -> float:
    """What policies are compared by."""
    return outcome.turns_per_s


def told(rows: Iterable[Row]) -> list[Row]:
    """The rows a report tells: families give way to the best of each, by seed and load.

    A cap that is above the load is none: there vanilla is the best cap. What knows the future may
    do what every other in its family does, and what a cap does.
    """
    rows = list(rows)
    caps = _best(rows, BEST_CAP, lambda name: name == VANILLA or _is_cap(name))
    future = _best(
        [*rows, *caps],
        CLAIRVOYANT,
        lambda name: name.startswith(CLAIRVOYANT) or name == BEST_CAP or name.endswith("perfect"),
    )
    kept = [row for row in rows if not _is_cap(row.policy) and not _is_bound(row.policy)]
    return [*kept, *(caps if any(map(_is_cap, _names(rows))) else ()), *_if_any(rows, future)]


def policies(rows: Iterable[Row]) -> list[str]:
    """All policies, vanilla first, otherwise in the order of the rows."""
    return sorted(_names(rows), key=lambda name: name != VANILLA)


def loads(rows: Iterable[Row]) -> list[float]:
    """All loads, ascending."""
    return sorted({row.load for row in rows})


def chosen(rows: Iterable[Row], policy: str, load: float) -> list[Row]:
    """The runs of one policy at one load, by seed."""
    cell = [row for row in rows if row.policy == policy and row.load == load]
    return sorted(cell, key=lambda row: row.seed)


def values(rows: Iterable[Row], policy: str, load: float, figure: Figure) -> list[float]:
    """A figure of each seed."""
    return [figure(row.outcome) for row in chosen(rows, policy, load)]


def ratios(
    rows: Sequence[Row], policy: str, other: str, load: float, figure: Figure = turns_per_s
) -> list[float]:
    """One policy's figure over another's, for each seed that both have."""
    theirs = {row.seed: figure(row.outcome) for row in chosen(rows, other, load)}
    return [
        figure(row.outcome) / theirs[row.seed]
        for row in chosen(rows, policy, load)
        if theirs.get(row.seed)
    ]


def _best(rows: Sequence[Row], name: str, belongs: Callable[[str], bool]) -> list[Row]:
    best: dict[tuple[float, int], Row] = {}
    for row in rows:
        if belongs(row.policy):
            known = best.get((row.load, row.seed))
            if known is None or row.outcome.turns_per_s > known.outcome.turns_per_s:
                best[row.load, row.seed] = row
    return [replace(row, policy=name) for row in best.values()]


def _if_any(rows: Sequence[Row], future: Sequence[Row]) -> Sequence[Row]:
    return future if any(map(_is_bound, _names(rows))) else ()


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.policy for row in rows))


def _is_cap(name: str) -> bool:
    return name.startswith(f"{CAP} ")


def _is_bound(name: str) -> bool:
    return name.startswith(f"{CLAIRVOYANT} ")
