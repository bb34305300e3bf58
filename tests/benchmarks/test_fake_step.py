"""The fake engine's step grid."""

import pytest

from benchmarks.fake_step import StepClock


def test_steps_end_on_a_grid_however_late_they_begin() -> None:
    clock = StepClock(0.008)
    assert clock.wait_s(1.0) == pytest.approx(0.008)
    assert clock.wait_s(1.010) == pytest.approx(0.006)


def test_a_step_that_begins_after_its_end_does_not_wait() -> None:
    clock = StepClock(0.008)
    clock.wait_s(1.0)
    assert clock.wait_s(1.016) == pytest.approx(0.0)


def test_the_grid_starts_anew_after_an_idle_time() -> None:
    clock = StepClock(0.008)
    clock.wait_s(1.0)
    assert clock.wait_s(5.0) == pytest.approx(0.008)
