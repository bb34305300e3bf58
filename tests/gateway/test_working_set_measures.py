"""What admission by program learns from turns: the prefill rate, and if its account is right."""

import pytest

from gateway.program import Used
from tests.gateway.test_working_set import RATE, granted, pool, program


def test_the_prefill_rate_is_learned_from_long_prompts_only() -> None:
    set_ = pool(1000)
    set_.measure(10, 1.0)
    assert set_.rate == RATE
    set_.measure(5000, 50.0)  # it waited for others
    assert set_.rate > 0.9 * RATE
    for _ in range(100):
        set_.measure(5000, 1.0)
    assert set_.rate == pytest.approx(5000, rel=0.01)


def test_the_guard_judges_by_what_the_account_says_was_kept_and_not_by_what_is_new() -> None:
    set_ = pool(100_000)
    one = program("one")
    for turn in range(200):
        # Each prompt is three times what the turn before has left, and finds all of that.
        set_.ask(one, 300, float(turn))
        list(granted(set_, float(turn)))
        set_.end(one, float(turn), Used(300, 0, 100 if turn else 0))
        one.kept = 100
    assert set_.target == 1.0


def test_the_guard_lowers_the_target_when_what_should_be_there_is_not() -> None:
    set_ = pool(100_000)
    one = program("one")
    for turn in range(60):
        set_.ask(one, 300, float(turn))
        list(granted(set_, float(turn)))
        set_.end(one, float(turn), Used(300, 0, 0))
    assert set_.target == pytest.approx(0.9)


def test_what_was_set_aside_and_is_lost_contradicts_nobody() -> None:
    """Retention gives up first what was set aside: its misses lowered the target for all."""
    set_ = pool(1000, patience=0.0)
    one, other = program("one"), program("other")
    for turn in range(200):
        for number, each in enumerate((one, other)):
            now = turn * 10.0 + number * 5
            set_.ask(each, 900, now)
            list(granted(set_, now))
            set_.end(each, now + 1, Used(900, 0, 0))
    assert set_.set_aside > 300
    assert set_.target == 1.0
