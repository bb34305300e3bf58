"""The workload of the tool benchmarks."""

import statistics

import pytest

from benchmarks.tools_workload import LAWS, LONGEST_S, Load, Turn, trace

TURNS = trace(Load(0.85, turns=20_000, seed=1))
CALLS = [call for turn in TURNS for call in turn.calls]


def test_the_same_seed_gives_the_same_turns() -> None:
    load = Load(0.85, turns=50, seed=3)
    assert trace(load) == trace(load)
    assert trace(load) != trace(Load(0.85, turns=50, seed=4))


def test_the_run_times_have_the_published_mean_and_tail() -> None:
    mean_s = sum(law.share * law.mean_s for law in LAWS.values())
    assert mean_s == pytest.approx(2.85, abs=0.01)
    runs_s = [call.run_s for call in CALLS]
    assert statistics.fmean(runs_s) == pytest.approx(mean_s, rel=0.05)
    assert max(runs_s) <= LONGEST_S
    assert statistics.pvariance(runs_s) / mean_s**2 == pytest.approx(13, rel=0.15)


def test_the_slots_are_as_busy_as_said_by_the_law_or_exactly() -> None:
    assert busy(TURNS) == pytest.approx(0.85, rel=0.1)
    assert busy(trace(Load(0.85, turns=2000, seed=1, exact=True))) == pytest.approx(0.85)


def busy(turns: list[Turn]) -> float:
    return sum(call.run_s for turn in turns for call in turn.calls) / (16 * turns[-1].at_s)


def test_the_shape_tells_part_of_the_run_time() -> None:
    python = [call for call in CALLS if call.key.tool == "python"]
    medians = [
        statistics.median(call.run_s for call in python if call.key.shape == f"s{number}")
        for number in range(8)
    ]
    assert medians == sorted(medians)


def test_a_pace_stretches_everything() -> None:
    slow, fast = (trace(Load(0.85, turns=20, seed=1, pace=pace)) for pace in (1.0, 0.1))
    assert [turn.at_s for turn in fast] == pytest.approx([turn.at_s / 10 for turn in slow])
    assert [turn.least_s for turn in fast] == pytest.approx([turn.least_s / 10 for turn in slow])
