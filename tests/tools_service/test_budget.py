"""Extra attempts stay a share of the calls that come."""

from hypothesis import given
from hypothesis import strategies as st

from tools_service.budget import Budget


@given(st.floats(0.01, 1), st.integers(1, 20), st.lists(st.booleans(), max_size=300))
def test_in_no_stretch_of_calls_is_more_spent_than_its_share_and_what_was_saved(
    share: float, most: int, story: list[bool]
) -> None:
    budget = Budget(share, most)
    spent: list[bool] = []
    for wants in story:
        budget.earn()
        spent.append(wants and budget.spend())
    for start in range(0, len(spent), 7):
        stretch = spent[start:]
        assert sum(stretch) <= share * len(stretch) + most + 1e-6


@given(st.integers(1, 50))
def test_when_every_call_wants_one_the_whole_share_is_given(tens: int) -> None:
    budget = Budget(0.1, 1)
    given_out = 0
    for _ in range(10 * tens):
        budget.earn()
        given_out += budget.spend()
    assert given_out in (tens, tens + 1)


def test_a_share_of_nothing_gives_nothing() -> None:
    budget = Budget(0.0)
    for _ in range(1000):
        budget.earn()
    assert not budget.spend()
