"""What live agents counted under each variant, and whether its order is the simulated one's."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from benchmarks.agents.live_drive import Outcome
from benchmarks.agents.live_house import ADMISSION, AMPLE, BOTH, RETENTION, VANILLA, VARIANTS
from benchmarks.tools_report import listing, table

ORDER = tuple(
    (worse.name, better.name)
    for worse, better in (
        (VANILLA, ADMISSION),
        (VANILLA, RETENTION),
        (ADMISSION, BOTH),
        (RETENTION, BOTH),
    )
)
"""Who finds more in the cache than whom, by the benchmark in virtual time."""
_LEVEL = 0.01  # a difference that says nothing, as a share

Figure = Callable[[Outcome], float]
Verdict: TypeAlias = Literal["as simulated", "level", "opposite"]

_COLUMNS: dict[str, tuple[Figure, str]] = {
    "cached share": (lambda o: o.cached_share, ".3f"),
    "prompt tokens computed": (lambda o: o.computed, ".0f"),
    "preemptions": (lambda o: o.preemptions, ".1f"),
    "set aside": (lambda o: o.set_aside, ".1f"),
    "calls failed": (lambda o: o.failed_calls, ".1f"),
    "worst wait, s": (lambda o: o.worst_wait_s, ".1f"),
}
_BETTER: dict[str, Figure] = {
    "more cached": lambda o: o.cached_share,
    "fewer computed": lambda o: 1 / max(o.computed, 1),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One variant in one repetition."""

    variant: str
    repetition: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Agreement:
    """One pair of variants by one figure: in how many repetitions which way."""

    worse: str
    better: str
    figure: str
    ratio: float
    as_simulated: int
    level: int
    opposite: int

    @property
    def verdict(self) -> Verdict:
        """Which of the two is ahead on the mean; below a hundredth nobody is."""
        if abs(self.ratio - 1) < _LEVEL:
            return "level"
        return "as simulated" if self.ratio > 1 else "opposite"


def agreements(rows: Sequence[Row]) -> list[Agreement]:
    """Every pair of the simulated order, by every figure."""
    return [_agreement(rows, *pair, name) for pair, name in itertools.product(ORDER, _BETTER)]


def markdown(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """The whole report."""
    found = agreements(rows)
    counted = Counter(one.verdict for one in found)
    verdicts = ", ".join(f"{verdict} {counted[verdict]}" for verdict in get_args(Verdict))
    verdict = f"Pairs of the simulated order, of {len(found)}: {verdicts}."
    parts = ["# Agents on a running house", listing(facts), _cells(rows), verdict, _pairs(found)]
    return "\n\n".join(parts) + "\n"


def _of(rows: Sequence[Row], variant: str) -> dict[int, Outcome]:
    return {row.repetition: row.outcome for row in rows if row.variant == variant}


def _cells(rows: Sequence[Row]) -> str:
    lines = []
    base = _of(rows, VANILLA.name)
    for variant in (variant.name for variant in VARIANTS):
        own = _of(rows, variant)
        if not own:
            continue
        cells = [
            f"{statistics.fmean(map(figure, own.values())):{form}}"
            for figure, form in _COLUMNS.values()
        ]
        speeds = [own[n].turns_per_min / base[n].turns_per_min for n in own.keys() & base.keys()]
        lines.append([variant, *cells, f"{statistics.fmean(speeds):.2f}"])
    note = (
        f"Means over the repetitions. The cached share is of the prompts of all but each session's "
        f"first request; `{AMPLE.name}` shows what could be found.\n\n"
    )
    return note + table(["variant", *_COLUMNS, "turns a minute / vanilla"], lines)


def _agreement(rows: Sequence[Row], worse: str, better: str, name: str) -> Agreement:
    figure, one, two = _BETTER[name], _of(rows, worse), _of(rows, better)
    ratios = [figure(two[n]) / figure(one[n]) for n in sorted(one.keys() & two.keys())]
    more = sum(ratio > 1 + _LEVEL for ratio in ratios)
    less = sum(ratio < 1 - _LEVEL for ratio in ratios)
    mean = statistics.fmean(ratios)
    return Agreement(worse, better, name, mean, more, len(ratios) - more - less, less)


def _pairs(found: Sequence[Agreement]) -> str:
    lines = [
        [
            f"{one.worse} < {one.better}",
            one.figure,
            f"{one.ratio:.2f}",
            one.verdict,
            str(one.as_simulated),
            str(one.level),
            str(one.opposite),
        ]
        for one in found
    ]
    return table(
        ["simulated order", "by", "ratio", "verdict", "repetitions alike", "level", "opposite"],
        lines,
    )
