"""What is kept of runs, and what is said about them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.agents.cells import BEST_CAP, chosen, interval, ratios, told
from benchmarks.agents.goals import goals
from benchmarks.agents.plot import draw
from benchmarks.agents.policies import CLAIRVOYANT, OURS, VANILLA
from benchmarks.agents.report import Report, cells, markdown
from benchmarks.agents.runs import BadResults, Job, Matrix, Results, Row
from benchmarks.agents.tally import Outcome, Parts, Spread
from benchmarks.agents.workload import Workload

SPREAD = Spread(2.0, 1.0, 3.0, 4.0, 5.0)
OUTCOME = Outcome(
    live=10,
    turns=100,
    makespan_s=100.0,
    turns_per_s=1.0,
    steady_turns_per_s=1.0,
    session_s=SPREAD,
    parts=Parts(1.0, 2.0, 3.0, 4.0),
    first_ttft_s=SPREAD,
    later_ttft_s=SPREAD,
    worst_wait_s=60.0,
    cached_share=0.8,
    ideal_share=0.9,
    amplification=2.0,
    preemptions=0,
    set_aside=3,
    returned=4,
    returned_tokens=5,
    classes_p95_s=[10.0, 20.0, 30.0],
    schedule="same",
    steps=7,
    cpu_s=0.5,
)
RATES = {
    VANILLA: 1.0,
    "cap 0.8": 2.0,
    "cap 0.9": 1.8,
    OURS: 2.4,
    "gate + retention, events": 2.2,
    "gate + retention, noisy": 2.3,
    "gate + retention, perfect": 2.45,
    "clairvoyant 1": 2.5,
}


def rows(load: float = 1.2) -> list[Row]:
    return [
        Row(name, load, seed, replace(OUTCOME, turns_per_s=rate * seed))
        for name, rate in RATES.items()
        for seed in (1, 2)
    ]


def test_an_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.303 / math.sqrt(3))
    assert interval([5.0]).text(1) == "5.0"


def test_ratios_compare_the_same_seed() -> None:
    assert ratios(rows(), OURS, VANILLA, 1.2) == [2.4, 2.4]


def test_families_are_told_by_their_best() -> None:
    found = told(rows())
    assert not [row for row in found if row.policy in ("cap 0.8", "clairvoyant 1")]
    assert [row.outcome.turns_per_s for row in chosen(found, BEST_CAP, 1.2)] == [2.0, 4.0]
    assert [row.outcome.turns_per_s for row in chosen(found, CLAIRVOYANT, 1.2)] == [2.5, 5.0]


def test_without_caps_none_is_told() -> None:
    plain = [row for row in rows() if row.policy in (VANILLA, OURS)]
    assert {row.policy for row in told(plain)} == {VANILLA, OURS}
    assert goals([row for row in plain if row.policy == OURS])[0].text.startswith("no turn")


def test_goals_are_met_or_missed_by_the_figures() -> None:
    assert all(goal.met for goal in goals(told(rows())))
    worse = replace(OUTCOME, turns_per_s=0.1, worst_wait_s=130.0, classes_p95_s=[10.0, 20.0, 31.0])
    bad = [replace(row, outcome=worse) if row.policy == OURS else row for row in rows()]
    found = goals(told(bad))
    assert [goal.text.split()[0] for goal in found if goal.met] == [
        "`gate",  # events and noise, which are not ours
        "`gate",
    ]


def test_the_schedule_below_the_knee_must_be_vanillas() -> None:
    (goal, *_) = goals(told(rows(0.6)))
    assert goal.met
    other = [
        replace(row, outcome=replace(row.outcome, schedule="other")) if row.policy == OURS else row
        for row in rows(0.6)
    ]
    (goal, *_) = goals(told(other))
    assert (goal.met, goal.found) == (False, "0 of 2 seeds")


def test_a_report_has_a_line_for_each_policy_and_load_and_a_picture(tmp_path: Path) -> None:
    shown = told([*rows(), *rows(0.6)])
    report = Report({"seeds": "2"}, goals(shown), cells(shown))
    text = markdown(shown, report, "agents.png")
    assert text.count(f"| {OURS} |") == 2 * 4
    assert "| 2.40 ± 0.00 |" in text
    draw(shown, tmp_path / "agents.png")
    assert (tmp_path / "agents.png").read_bytes().startswith(b"\x89PNG")


def test_runs_that_are_kept_are_not_run_again(tmp_path: Path) -> None:
    workload, path = Workload(), tmp_path / "agents.jsonl"
    matrix = Matrix([VANILLA], ["cap 0.8"], [0.6, 1.2], [1, 2])
    jobs = list(matrix.jobs(workload))
    results = Results(path, workload)
    assert results.missing(jobs) == jobs
    results.add([Row(VANILLA, 0.6, 1, OUTCOME), Row("cap 0.8", 1.2, 2, OUTCOME)])
    again = Results(path, workload)
    assert again.rows == results.rows
    left = again.missing(jobs)
    assert Job(workload, VANILLA, (0.6,), 1) not in left
    assert Job(workload, "cap 0.8", (0.6, 1.2), 2) not in left
    assert len(left) == len(jobs) - 2


def test_in_the_open_loop_a_cap_is_played_at_each_load() -> None:
    workload = Workload(loop="open")
    jobs = list(Matrix([VANILLA], ["cap 0.8"], [0.6, 1.2], [1]).jobs(workload))
    assert [(job.policy, job.loads) for job in jobs if job.policy != VANILLA] == [
        ("cap 0.8", (0.6,)),
        ("cap 0.8", (1.2,)),
    ]


def test_results_of_another_workload_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "agents.jsonl"
    Results(path, Workload())
    with pytest.raises(BadResults, match="another workload"):
        Results(path, Workload(card="h200"))
    path.write_text("nothing of ours\n")
    with pytest.raises(BadResults, match="can't be read"):
        Results(path, Workload())
