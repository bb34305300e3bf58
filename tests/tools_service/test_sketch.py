"""The log-histogram: bounds, order, forgetting, merging."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.sketch import HALF_LIFE_S, PAUSE_S, Sketch

SHARES = (0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0)
durations = st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=60)
gaps = st.lists(st.floats(0, 10 * HALF_LIFE_S), min_size=60, max_size=60)


def filled(values: list[float], pauses: list[float] | None = None) -> Sketch:
    sketch, now = Sketch(), 1000.0
    for value, pause in zip(values, pauses or [0.0] * len(values), strict=False):
        now += pause
        sketch.add(value, now)
    return sketch


@given(durations, gaps)
def test_quantiles_never_fall(values: list[float], pauses: list[float]) -> None:
    found = filled(values, pauses).quantiles(SHARES)
    assert list(found) == sorted(found)


@given(durations, gaps)
def test_quantiles_and_mean_stay_between_the_extremes(
    values: list[float], pauses: list[float]
) -> None:
    sketch = filled(values, pauses)
    found = (*sketch.quantiles(SHARES), sketch.mean)
    assert all(min(values) / 1.081 <= value <= max(values) * 1.081 for value in found)


@given(durations)
def test_quantiles_are_within_one_bucket_of_the_truth(values: list[float]) -> None:
    ordered = sorted(values)
    (median,) = filled(values).quantiles([0.5])
    truth = ordered[max(math.ceil(0.5 * len(ordered)) - 1, 0)]
    assert truth / 1.081 <= median <= truth * 1.081


@given(durations)
def test_the_mean_is_exact_without_pauses(values: list[float]) -> None:
    assert filled(values).mean == pytest.approx(sum(values) / len(values))


@given(durations, gaps)
def test_strength_is_never_more_than_the_samples(values: list[float], pauses: list[float]) -> None:
    sketch = filled(values, pauses)
    assert 1.0 <= sketch.strength * (1 + 1e-9) <= len(values) * (1 + 1e-6)


@given(durations, durations, durations)
def test_merging_does_not_depend_on_the_order(
    one: list[float], two: list[float], three: list[float]
) -> None:
    a, b, c = filled(one), filled(two), filled(three)
    left, right = a.merge(b).merge(c), c.merge(b.merge(a))
    assert left.samples == right.samples == len(one) + len(two) + len(three)
    assert left.mean == pytest.approx(right.mean)
    assert left.quantiles(SHARES) == pytest.approx(right.quantiles(SHARES))


@given(durations, durations)
def test_merging_is_like_seeing_both(one: list[float], two: list[float]) -> None:
    merged, both = filled(one).merge(filled(two)), filled(one + two)
    assert merged.buckets == pytest.approx(both.buckets)
    assert merged.mean == pytest.approx(both.mean)


def test_after_a_half_life_of_activity_an_old_call_weighs_half() -> None:
    sketch = Sketch()
    sketch.add(1.0, 0.0)
    for step in range(1, round(HALF_LIFE_S / PAUSE_S) + 1):
        sketch.add(9.0, step * PAUSE_S)
    old, new = min(sketch.buckets), max(sketch.buckets)
    newest = sketch.unit
    assert sketch.buckets[old] == pytest.approx(newest / 2)
    assert sketch.buckets[new] > sketch.buckets[old]


def test_a_tool_that_changes_is_followed() -> None:
    sketch = Sketch()
    for step in range(200):
        sketch.add(1.0 if step < 100 else 10.0, step * PAUSE_S)
    assert sketch.quantiles([0.5])[0] == pytest.approx(10.0, rel=0.09)


def test_a_long_pause_forgets_almost_nothing() -> None:
    """A night without calls once left a single new call to speak for the whole tool."""
    sketch = filled([1.0] * 50)
    sketch.add(60.0, 1000.0 + 1e6)
    assert sketch.strength > 40
    assert sketch.quantiles([0.5])[0] == pytest.approx(1.0, rel=0.09)


def test_numbers_stay_small_however_long_it_runs() -> None:
    sketch = Sketch()
    for step in range(2000):
        sketch.add(0.5, step * PAUSE_S)
    assert sketch.unit <= 1e6
    assert sketch.strength == pytest.approx(1 / (1 - 2 ** (-PAUSE_S / HALF_LIFE_S)), rel=0.01)


def test_a_clock_that_jumps_back_does_no_harm() -> None:
    sketch = Sketch()
    for now in (1e9, 5.0, 1e9 + 1):
        sketch.add(1.0, now)
    assert sketch.strength == pytest.approx(3.0, rel=0.01)
    assert not sketch.damaged()


@given(durations, st.floats(0, 1e5))
def test_what_remains_is_positive_and_only_of_those_that_outlived(
    values: list[float], age_s: float
) -> None:
    strength, remaining_s = filled(values).remaining(age_s)
    assert 0 <= strength <= len(values) * (1 + 1e-9)
    assert (remaining_s > 0) == (strength > 0)
    assert remaining_s <= max(values) * 1.081
