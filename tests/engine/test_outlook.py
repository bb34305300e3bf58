"""What is left of an absence."""

from hypothesis import given
from hypothesis import strategies as st

from engine.outlook import left_s, outlasts_s

seconds = st.floats(0.0, 1e5)
ranges = st.tuples(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4))


@given(seconds)
def test_of_what_nothing_is_known_as_much_is_left_as_has_gone(gone_s: float) -> None:
    assert left_s(gone_s, None) == gone_s


@given(seconds, ranges)
def test_there_is_always_some_time_left_and_never_for_ever(
    gone_s: float, expected_s: tuple[float, float]
) -> None:
    assert 0 <= left_s(gone_s, expected_s) < 1e12


@given(st.floats(1e-2, 1e4))
def test_a_sure_absence_counts_down(at_s: float) -> None:
    assert abs(left_s(0.75 * at_s, (at_s, at_s)) - 0.25 * at_s) < 1e-6 * at_s


def test_what_varies_widely_is_expected_to_last_longer_the_longer_it_has_lasted() -> None:
    left = [left_s(gone_s, (1.0, 100.0)) for gone_s in (10.0, 30.0, 100.0, 300.0)]

    assert left == sorted(left)
    assert left[-1] > 2 * left[0]


@given(seconds, ranges)
def test_a_wide_range_is_no_reason_to_expect_more_than_its_end_or_what_has_gone(
    gone_s: float, expected_s: tuple[float, float]
) -> None:
    assert left_s(gone_s, expected_s) <= max(*expected_s, gone_s) * (1 + 1e-9)


def test_what_outlasts_all_that_was_expected_is_left_as_long_as_it_has_gone() -> None:
    assert left_s(5000.0, (1.0, 20.0)) == 5000.0


def test_the_order_of_the_ends_does_not_matter() -> None:
    assert left_s(3.0, (20.0, 2.0)) == left_s(3.0, (2.0, 20.0))


@given(
    st.floats(0.01, 1e4),
    st.none() | st.tuples(st.floats(0.01, 1e4), st.floats(0.01, 1e4)),
)
def test_the_age_from_which_an_absence_outlasts_a_patience_is_told(
    patience_s: float, expected_s: tuple[float, float] | None
) -> None:
    age_s = outlasts_s(patience_s, expected_s)
    assert left_s(age_s * (1 + 1e-9), expected_s) > patience_s * (1 - 1e-6)
    if age_s > 0 and expected_s is not None:
        assert left_s(0.0, expected_s) <= patience_s, "it was not so from the start"
