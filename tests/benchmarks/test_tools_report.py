"""What is said about simulated and measured runs."""

import math
from pathlib import Path

import pytest

from benchmarks import tools_live, tools_sim
from benchmarks.tools_plot import draw
from benchmarks.tools_report import Row, markdown, ratios, speedup, speedup_error
from benchmarks.tools_world import Outcome


def outcome(turn_s: float, bound_share: float = 0.1) -> Outcome:
    return Outcome(1.0, 2.0, 3.0, turn_s, turn_s, turn_s, turn_s, 1.0, bound_share)


def rows(group_s: float, *, bound_share: float = 0.1, load: float = 0.85) -> list[Row]:
    times_s = {"fifo": 9.0, "group": group_s, "group, none kept": group_s}
    times_s |= {"group, clairvoyant": 5.0, "group, none kept, clairvoyant": 5.0}
    return [
        Row(name, load, seed, outcome(turn_s * seed, bound_share))
        for name, turn_s in times_s.items()
        for seed in (1, 2)
    ]


def test_a_ratio_compares_runs_of_the_same_seed() -> None:
    assert ratios(rows(4.5), "group", "fifo", 0.85) == [0.5, 0.5]


def test_the_goals_are_met_or_missed_by_the_figures() -> None:
    assert all(goal.met for goal in tools_sim.goals(rows(5.2)))
    missed = [goal.text for goal in tools_sim.goals(rows(6.5, bound_share=1.1)) if not goal.met]
    assert len(missed) == 5
    idle = tools_sim.goals(rows(9.05, load=0.4))
    assert [goal.met for goal in idle] == [True, True]
    assert idle[1].found == "mean turn +0.6 % against fifo"


def test_the_error_of_a_speedup_is_what_the_seeds_differ_by() -> None:
    def seed(number: int, fifo_s: float) -> list[Row]:
        times_s = {"fifo": fifo_s, "group": 5.0}
        return [Row(name, 0.85, number, outcome(turn_s)) for name, turn_s in times_s.items()]

    found = [*seed(1, 8.0), *seed(2, 10.0), *seed(3, 9.0)]
    assert speedup(found, "group", 0.85) == pytest.approx(1.8)
    # That of a mean of three: 0.2 apart, over the root of three.
    assert speedup_error(found, "group", 0.85) == pytest.approx(0.2 / math.sqrt(3))
    assert speedup_error(seed(1, 8.0), "group", 0.85) is None


def test_the_report_shows_goals_figures_and_the_picture(tmp_path: Path) -> None:
    found = rows(6.5)
    draw(found, tmp_path / "found.png")
    text = markdown(found, tools_sim.goals(found), {"seeds": "2"}, "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert "- seeds: 2" in text
    assert "| 1.38 times (1.38 to 1.38 by seed; standard error 0.00) | **missed** |" in text
    assert "](found.png)" in text
    assert "| group | 1.00 | 2.00 | 3.00 | 9.75 | 9.75 | 9.75 | 9.75 | 0.72 |" in text


def test_the_live_report_sets_the_service_beside_the_simulation() -> None:
    found = [
        tools_live.Row(policy, repetition, outcome(live_s), outcome(simulated_s), outcome(3))
        for policy, live_s, simulated_s in (
            ("fifo", 2.2, 2.0),
            ("sjf", 1.2, 1.0),
            ("group", 1, 1.1),
        )
        for repetition in (0, 1)
    ]
    text = tools_live.markdown(found, {"cores": "2"})
    times = "2200 | 2000 | 3000 | 1000 | 1000 | 1000 | 3000 | 3000 | 3000"
    assert f"| fifo | {times} | 1.10 (1.10..1.10) |" in text
    assert "| fifo / group | 2.20 | 1.82 | 2 of 2 |" in text
    assert "| sjf / group | 1.20 | 0.91 | 0 of 2 |" in text
