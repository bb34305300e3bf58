"""Progress goes forward, and not in floods."""

from hypothesis import given
from hypothesis import strategies as st

from tools_service.pace import Pace

reports = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 0.5)), max_size=200)


@given(reports)
def test_what_goes_on_only_increases_and_comes_in_bounded_numbers(
    story: list[tuple[float, float]],
) -> None:
    pace, now = Pace(burst=3, every_s=0.1), 1000.0
    passed: list[tuple[float, float]] = []
    for done, gap_s in story:
        now += gap_s
        if pace.lets(done, now):
            passed.append((done, now))
    values = [done for done, _ in passed]
    assert values == sorted(set(values))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            stretch_s = passed[last][1] - passed[first][1]
            assert last - first + 1 <= 3 + stretch_s / 0.1 + 1e-6


def test_the_first_reports_go_on_at_once_and_a_flood_does_not() -> None:
    pace = Pace(burst=5, every_s=1.0)
    assert sum(pace.lets(float(step), 0.0) for step in range(1000)) == 5
    assert pace.lets(1000.0, 1.0)
    assert not pace.lets(1001.0, 1.0)


def test_a_second_attempt_is_silent_until_it_is_further_than_the_first() -> None:
    pace = Pace()
    assert [pace.lets(done, 0.0) for done in (0.0, 5.0, 0.0, 5.0, 6.0)] == [1, 1, 0, 0, 1]
