"""The lookup table: shrinkage, censoring, bounds, calibration, memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.errors import BadTable
from tools_service.records import Kind, Lesson, Outcome
from tools_service.runtimes import PRIORS, Expected, Key, Table

KEY = Key("search", "terms:2", "closed")
durations = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=40)
outcomes = st.sampled_from(["ok", "error", "timeout", "cancelled"])


def see(table: Table, key: Key, *durations_s: float, outcome: Outcome = "ok") -> None:
    for run_s in durations_s:
        table.observe(key, outcome, run_s, table.expected(key), 1000.0)


def fields(guess: Expected) -> tuple[float, ...]:
    return (guess.p10_s, guess.p50_s, guess.p90_s, guess.p95_s, guess.p99_s)


@pytest.mark.parametrize("kind", ["closed", "open", "code"])
def test_an_unknown_tool_is_expected_to_take_as_long_as_its_kind(kind: Kind) -> None:
    guess = Table().expected(Key("new", "any", kind))
    assert (guess.p50_s, guess.p90_s) == pytest.approx(PRIORS[kind])
    assert guess.samples == 0


def test_a_configured_runtime_replaces_the_prior() -> None:
    guess = Table(priors={"search": (2.0, 3.0)}).expected(KEY)
    assert (guess.p50_s, guess.p90_s) == pytest.approx((2.0, 3.0))


@given(durations)
def test_the_estimates_never_fall_from_quantile_to_quantile(values: list[float]) -> None:
    table = Table()
    see(table, KEY, *values)
    found = fields(table.expected(KEY))
    assert list(found) == sorted(found)


@given(st.floats(1e-4, 1e4), st.integers(1, 200))
def test_the_estimate_lies_between_what_was_seen_and_what_was_assumed(
    value: float, times: int
) -> None:
    table = Table()
    before = table.expected(KEY).p50_s
    see(table, KEY, *[value] * times)
    low, high = sorted((before, value))
    assert low / 1.081 <= table.expected(KEY).p50_s <= high * 1.081


def test_many_calls_outweigh_the_prior() -> None:
    table = Table()
    see(table, KEY, *[7.0] * 400)
    guess = table.expected(KEY)
    assert guess.p50_s == pytest.approx(7.0, rel=0.1)
    assert guess.mean_s == pytest.approx(7.0, rel=0.1)
    assert guess.samples == 400


def test_a_new_shape_borrows_from_its_tool() -> None:
    table = Table()
    see(table, KEY, *[7.0] * 400)
    borrowed = table.expected(Key("search", "terms:9", "closed"))
    assert borrowed.p50_s == pytest.approx(7.0, rel=0.1)
    assert borrowed.samples == 0


def test_a_new_tool_borrows_from_its_kind_but_not_from_another() -> None:
    table = Table()
    see(table, KEY, *[7.0] * 400)
    assert table.expected(Key("fetch", "any", "closed")).p50_s == pytest.approx(7.0, rel=0.15)
    assert table.expected(Key("fetch", "any", "open")).p50_s == pytest.approx(1.5)


def test_after_eight_calls_a_shape_weighs_as_much_as_what_it_borrows() -> None:
    table = Table()
    other = Key("search", "terms:9", "closed")
    see(table, other, *[1.0] * 10_000)
    see(table, KEY, *[100.0] * 8)
    assert math.log(table.expected(KEY).p50_s) == pytest.approx(math.log(100) / 2, rel=0.05)


def test_a_timeout_counts_as_a_run_of_at_least_that_long() -> None:
    table = Table()
    before = table.expected(KEY).p99_s
    see(table, KEY, *[60.0] * 50, outcome="timeout")
    assert table.expected(KEY).p99_s > before
    assert next(table.lines()).timeouts == 50


def test_failures_are_kept_apart() -> None:
    table = Table()
    before = table.expected(KEY)
    see(table, KEY, *[0.0001] * 50, outcome="error")
    assert table.expected(KEY) == before
    assert next(table.lines()).errors == 50


def test_an_early_cancel_says_nothing_and_a_late_one_that_the_call_was_long() -> None:
    table = Table()
    before = table.expected(KEY)
    see(table, KEY, before.p50_s / 2, outcome="cancelled")
    assert table.expected(KEY) == before
    see(table, KEY, 100.0, outcome="cancelled")
    assert table.expected(KEY).p90_s > before.p90_s
    assert next(table.lines()).cancels == 2


def test_the_timeout_is_three_times_the_slowest_within_bounds() -> None:
    guess = Expected(0, 1, 1, 1, 1, 1, p99_s=5)
    assert guess.timeout_s(1, 60) == 15
    assert guess.timeout_s(20, 60) == 20
    assert guess.timeout_s(1, 10) == 10


@given(durations, st.floats(0, 1e5))
def test_what_remains_is_positive(values: list[float], age_s: float) -> None:
    table = Table()
    see(table, KEY, *values)
    assert 0 < table.remaining(KEY, age_s) < math.inf


def test_a_call_that_outlives_the_fast_ones_is_one_of_the_slow_ones() -> None:
    table = Table()
    see(table, KEY, *[1.0] * 300, *[30.0] * 100)
    assert table.remaining(KEY, 0.0) == pytest.approx(8.25, rel=0.15)
    assert table.remaining(KEY, 5.0) == pytest.approx(25.0, rel=0.15)


def test_nothing_known_leaves_the_prior_to_say_what_remains() -> None:
    table = Table()
    assert table.remaining(KEY, 0.0) == pytest.approx(table.expected(KEY).mean_s)
    assert table.remaining(KEY, 1e5) == pytest.approx(1e5)


@given(st.lists(st.text(max_size=3), max_size=60), st.integers(1, 5))
def test_the_shapes_of_a_tool_are_bounded(shapes: list[str], cap: int) -> None:
    table = Table(shapes_per_tool=cap)
    for shape in shapes:
        see(table, Key("search", shape, "closed"), 1.0)
    assert len(table) <= cap


def test_the_shape_unused_for_longest_is_forgotten() -> None:
    table = Table(shapes_per_tool=2)
    for shape in ("a", "b", "a", "c"):
        see(table, Key("search", shape, "closed"), 1.0)
    assert {line.shape for line in table.lines()} == {"*", "a", "c"}


def test_calibration_counts_successes_inside_the_range() -> None:
    table = Table()
    low_s, high_s = table.expected(KEY).range_s
    guess = table.expected(KEY)
    for run_s in (low_s * 1.01, high_s * 0.99, high_s * 2, low_s / 2):
        table.observe(KEY, "ok", run_s, guess, 0.0)
    table.observe(KEY, "timeout", 60.0, guess, 0.0)
    assert next(table.lines()).inside_share == 0.5


def test_four_of_five_calls_end_inside_the_learned_range() -> None:
    table = Table()
    spread = [0.1 * 1.02**step for step in range(200)]
    for turn in range(20):
        see(table, KEY, *(spread[(97 * step + turn) % 200] for step in range(200)))
    share = next(table.lines()).inside_share
    assert share is not None
    assert 0.72 <= share <= 0.88


@given(st.lists(st.tuples(st.text(max_size=4), outcomes, st.floats(0, 1e5)), max_size=30))
def test_a_saved_table_comes_back_the_same(calls: list[tuple[str, Outcome, float]]) -> None:
    table = Table()
    for shape, outcome, run_s in calls:
        see(table, Key("search", shape, "closed"), run_s, outcome=outcome)
    copy = Table()
    copy.load(table.dump())
    assert list(copy.lines()) == list(table.lines())


def test_a_larger_table_is_cut_to_the_cap_when_read() -> None:
    table = Table()
    for number in range(10):
        see(table, Key("search", str(number), "closed"), 1.0)
    small = Table(shapes_per_tool=3)
    small.load(table.dump())
    assert {line.shape for line in small.lines()} == {"*", "7", "8", "9"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"version":2}',
        b'{"tools":{"a":{"kind":"strange"}}}',
        b'{"kinds":{"open":{"runs":{"weight":-1}}}}',
        b'{"kinds":{"open":{"runs":{"samples":3}}}}',
        b'{"kinds":{"open":{"runs":{"samples":1,"weight":1,"buckets":{"99999":1}}}}}',
    ],
)
def test_a_damaged_table_is_refused_and_changes_nothing(data: bytes) -> None:
    table = Table()
    see(table, KEY, 1.0)
    before = list(table.lines())
    with pytest.raises(BadTable):
        table.load(data)
    assert list(table.lines()) == before


def test_a_much_used_shape_outlives_many_rare_ones() -> None:
    table = Table(shapes_per_tool=3)
    for number in range(40):
        if number < 10:
            see(table, KEY, 1.0)
        see(table, Key("search", f"rare:{number}", "closed"), 1.0)
    shapes = {line.shape for line in table.lines()}
    assert KEY.shape in shapes
    assert "rare:39" in shapes, "the newest is never what goes"


def test_what_was_much_used_yesterday_makes_room() -> None:
    table = Table(shapes_per_tool=2)
    see(table, KEY, *[1.0] * 50)
    for number in range(3):
        key = Key("search", f"new:{number % 2}", "closed")
        table.observe(key, "ok", 1.0, table.expected(key), 90_000.0)
    assert {line.shape for line in table.lines()} == {"*", "new:0", "new:1"}


@given(st.lists(st.text(max_size=3), max_size=60), st.integers(1, 5))
def test_the_tools_are_bounded(tools: list[str], cap: int) -> None:
    table = Table(tools=cap)
    for tool in tools:
        see(table, Key(tool, "any", "closed"), 1.0)
    assert len(table) <= cap


def test_what_one_table_was_taught_another_can_learn() -> None:
    lessons: list[Lesson] = []
    table, other = Table(told=lessons.append), Table()
    endings: tuple[Outcome, ...] = ("ok", "error", "timeout", "cancelled")
    for outcome in endings:
        see(table, KEY, 3.0, outcome=outcome)
    for taught in lessons:
        other.learn(taught)
    assert list(other.lines()) == list(table.lines())
    assert other.calibration("search") == table.calibration("search") == 0.0
