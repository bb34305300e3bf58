"""The guard of admission by program: what is measured corrects the target."""

import pytest

from gateway.guard import Guard


def test_the_target_falls_when_later_turns_miss_their_cache_and_rises_when_they_find_it() -> None:
    guard = Guard(0.95)
    for _ in range(50):
        guard.take(100, 40, 0.9)
    assert guard.target == pytest.approx(0.855)
    for _ in range(200):
        guard.take(100, 90, 0.5)
    assert guard.target == pytest.approx(0.865)


def test_a_target_beyond_which_demand_lies_already_is_not_to_blame() -> None:
    guard = Guard(0.95)
    for _ in range(500):
        guard.take(100, 0, 1.5)
    assert guard.target == 0.95
