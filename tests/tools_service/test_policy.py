"""The order the policies give, and the numbers beside it."""

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.config import ToolsServiceConfig
from tools_service.policy import (
    POLICIES,
    Entry,
    Group,
    Policy,
    Work,
    bound_s,
    fifo,
    group,
    kept,
    sjf,
)

calls = st.builds(
    Entry,
    st.sampled_from("ab"),
    st.floats(0, 1e6),
    st.floats(1e-3, 1e3),
    st.builds(Group, id=st.just("g"), weight=st.floats(0.1, 10)),
)
works = st.builds(Work, st.floats(1e-3, 1e4), st.integers(1, 100))


def call(expected_s: float, *, arrived: float = 0.0, weight: float = 1.0) -> Entry:
    return Entry("a", arrived, expected_s, Group(weight=weight))


def test_the_settings_name_every_policy() -> None:
    field = ToolsServiceConfig.model_fields["policy"]
    assert set(get_args(field.annotation)) == POLICIES.keys()


def test_fifo_knows_only_the_arrival() -> None:
    work = Work(1.0, 1)
    assert fifo(call(9.0, arrived=1.0), work) < fifo(call(1.0, arrived=2.0), work)


def test_sjf_knows_only_the_call() -> None:
    assert sjf(call(1.0, arrived=2.0), Work(99.0, 2)) < sjf(call(2.0), Work(2.0, 1))


def test_group_takes_the_least_work_first_and_inside_it_the_longest_call() -> None:
    small, large = Work(5.0, 2), Work(6.0, 1)
    ranked = [group(call(4.0), small), group(call(1.0), small), group(call(0.5), large)]
    assert ranked == sorted(ranked)


def test_groups_with_equal_work_are_not_mixed() -> None:
    """Two turns that each ask for two equal searches: one of them should be done early."""
    older, newer = Work(2.0, 1), Work(2.0, 2)
    assert group(call(0.1), older) < group(call(1.9), newer)


@pytest.mark.parametrize("policy", [sjf, group])
def test_twice_the_weight_is_half_the_work(policy: Policy) -> None:
    heavy = policy(call(2.0, weight=2.0), Work(2.0, 1))
    assert heavy[0] == policy(call(1.0), Work(1.0, 1))[0]


@pytest.mark.parametrize("policy", POLICIES.values())
@given(calls, works, st.floats(0, 1e4))
def test_a_rank_never_falls_while_the_group_grows(
    policy: Policy, entry: Entry, work: Work, more_s: float
) -> None:
    grown = Work(work.expected_s + more_s, work.born)
    assert policy(entry, grown) >= policy(entry, work)


@pytest.mark.parametrize(
    ("places", "reserve", "expected"),
    [(1, None, 1), (8, None, 1), (9, None, 2), (16, None, 2), (16, 0, 0), (16, 4, 4), (16, 99, 16)],
)
def test_an_eighth_of_the_slots_is_kept_unless_told_otherwise(
    places: int, reserve: int | None, expected: int
) -> None:
    assert kept(places, places, reserve) == expected


def test_a_tools_limit_keeps_the_same_share() -> None:
    assert [kept(places, 16) for places in (1, 8, 9)] == [1, 1, 2]
    assert [kept(places, 16, 4) for places in (1, 4, 8)] == [1, 1, 2]
    assert kept(49, 49, 3) == 3
    assert kept(4, 16, 0) == 0


def test_the_bound_is_the_older_calls_over_the_kept_places_and_one_more() -> None:
    assert bound_s(0, 2, 60.0) == 60.0
    assert bound_s(4, 2, 60.0) == 180.0
    assert math.isinf(bound_s(1, 0, 60.0))
