"""What the default policy is to reach, against what was found."""

import statistics
from collections.abc import Sequence

from benchmarks.agents.cells import BEST_CAP, chosen, loads, ratios, values
from benchmarks.agents.policies import CLAIRVOYANT, OURS, VANILLA
from benchmarks.agents.runs import Row
from benchmarks.tools_report import Goal

_EVENTS, _NOISY = "gate + retention, events", "gate + retention, noisy"
_KNEE, _LOADED = 0.6, 0.8  # loads: up to the first nothing may change, from the second on much
_AT = 1.2
_BOUND_S = 120.0
_SAME = 1e-9


def goals(rows: Sequence[Row]) -> list[Goal]:
    """Those that the rows can speak of; `rows` are those that are told."""
    past = [load for load in loads(rows) if load >= _LOADED]
    found = [
        *(_same(rows, load) for load in loads(rows) if load <= _KNEE),
        *(_least(rows, OURS, VANILLA, load, 2.0) for load in past if load == _AT),
        *(_least(rows, _EVENTS, VANILLA, load, 1.5) for load in past if load == _AT),
        *(_least(rows, OURS, BEST_CAP, load, 1.0) for load in past),
        *(_least(rows, OURS, CLAIRVOYANT, load, 0.9) for load in past),
        *(_least(rows, _NOISY, "gate + retention, perfect", load, 0.92) for load in past),
        *(_prompt(rows, load) for load in past),
        *(_fair(rows, load) for load in past),
    ]
    return [goal for goal in found if goal is not None]


def _same(rows: Sequence[Row], load: float) -> Goal | None:
    theirs = {row.seed: row.outcome.schedule for row in chosen(rows, VANILLA, load)}
    ours = chosen(rows, OURS, load)
    if not ours or not theirs:
        return None
    same = sum(row.outcome.schedule == theirs.get(row.seed) for row in ours)
    text = f"`{OURS}` gives vanilla's schedule at {load:g}"
    return Goal(text, f"{same} of {len(ours)} seeds", same == len(ours))


def _least(rows: Sequence[Row], policy: str, other: str, load: float, least: float) -> Goal | None:
    by_seed = ratios(rows, policy, other, load)
    if not by_seed:
        return None
    mean = statistics.fmean(by_seed)
    text = f"`{policy}` at least {least:g} times `{other}` in turns per second at {load:g}"
    found = f"{mean:.2f} ({min(by_seed):.2f} to {max(by_seed):.2f} by seed)"
    return Goal(text, found, mean >= least - _SAME)


def _prompt(rows: Sequence[Row], load: float) -> Goal | None:
    waits_s = values(rows, OURS, load, lambda found: found.worst_wait_s)
    if not waits_s:
        return None
    text = f"no turn of `{OURS}` waits more than {_BOUND_S:g} s at {load:g}"
    return Goal(text, f"the longest waits {max(waits_s):.0f} s", max(waits_s) <= _BOUND_S)


def _fair(rows: Sequence[Row], load: float) -> Goal | None:
    if not ratios(rows, OURS, VANILLA, load):
        return None
    worst = max(
        statistics.fmean(ratios(rows, OURS, VANILLA, load, figure))
        for figure in (
            lambda found: found.classes_p95_s[0],
            lambda found: found.classes_p95_s[1],
            lambda found: found.classes_p95_s[2],
        )
    )
    text = f"no class of sessions takes longer under `{OURS}` than under vanilla at {load:g}"
    return Goal(text, f"p95 of the worst is {worst:.2f} times vanilla's", worst <= 1.0 + _SAME)
