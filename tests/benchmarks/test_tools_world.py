"""The tools service in virtual time."""

import pytest

from benchmarks.tools_workload import LONGEST_S, Load, ToolCall, Turn, trace
from benchmarks.tools_world import Outcome, Variant, simulate
from tools_service.runtimes import Key

FIFO = Variant("fifo", "fifo")


def turn(at_s: float, *runs_s: float) -> Turn:
    return Turn(at_s, tuple(ToolCall(Key("a", "s", "open"), run_s) for run_s in runs_s))


def play(variant: Variant, *turns: Turn, slots: int = 1) -> Outcome:
    return simulate(turns, variant, slots=slots, longest_s=LONGEST_S, dropped=0.0)


def test_a_turn_ends_with_its_last_call() -> None:
    outcome = play(FIFO, turn(0.0, 1.0, 3.0), slots=2)
    assert (outcome.turn_mean_s, outcome.wait_longest_s, outcome.least_s) == (3.0, 0.0, 3.0)


def test_calls_wait_for_a_slot_in_the_order_of_the_policy() -> None:
    turns = (turn(0.0, 2.0), turn(1.0, 5.0), turn(1.5, 1.0))
    assert play(FIFO, *turns).turn_mean_s == pytest.approx((2.0 + 6.0 + 6.5) / 3)
    shortest = Variant("sjf", "sjf", knows=True)
    assert play(shortest, *turns).turn_mean_s == pytest.approx((2.0 + 7.0 + 1.5) / 3)


def test_the_first_turns_warm_up_and_are_not_counted() -> None:
    turns = (turn(0.0, 9.0), turn(10.0, 1.0))
    assert simulate(turns, FIFO, slots=1, longest_s=9.0, dropped=0.5).turn_mean_s == 1.0


def test_a_busy_service_is_served_best_by_group_and_within_its_bound() -> None:
    load = Load(0.9, turns=4000, seed=2)
    turns = trace(load)
    fifo, group, knowing = (
        simulate(turns, variant, slots=load.slots, longest_s=LONGEST_S)
        for variant in (
            FIFO,
            Variant("group", "group", reserve=None),
            Variant("knowing", "group", reserve=None, knows=True),
        )
    )
    assert knowing.turn_mean_s < group.turn_mean_s < 0.8 * fifo.turn_mean_s
    assert 0 < group.bound_share <= 1
    assert fifo.bound_share == 0


def test_an_idle_service_does_not_care() -> None:
    turns = trace(Load(0.3, turns=1000, seed=1))
    fifo, group = (
        simulate(turns, variant, slots=16, longest_s=LONGEST_S)
        for variant in (FIFO, Variant("group", "group", reserve=None))
    )
    assert group.turn_mean_s == pytest.approx(fifo.turn_mean_s, rel=0.005)
