"""How long clients are away, learned."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.returns import ANSWER_S, CALL_S, Returns


def test_before_anything_is_learned_calls_and_answers_have_ranges_of_their_own() -> None:
    returns = Returns()
    assert returns.expected("t", ["run"]) == pytest.approx(CALL_S)
    assert returns.expected("t", []) == pytest.approx(ANSWER_S)


def test_four_of_five_returns_end_inside_the_range_that_was_learned() -> None:
    returns, chance = Returns(), random.Random(1)
    inside = 0
    for number in range(2200):
        low, high = returns.expected("t", ["run"])
        gap_s = chance.lognormvariate(math.log(3.0), 0.8)
        inside += number >= 200 and low <= gap_s <= high
        returns.learn("t", ["run"], gap_s)
    assert inside / 2000 == pytest.approx(0.8, abs=0.05)


def test_a_tool_nobody_has_called_takes_after_the_others() -> None:
    returns = Returns()
    for _ in range(100):
        returns.learn("t", ["fast"], 0.1)
    low, high = returns.expected("other", ["new"])
    assert low < 0.1 < high < CALL_S[1] / 10
    assert returns.expected("t", []) == pytest.approx(ANSWER_S), "answers are no calls"


def test_of_several_calls_the_longest_is_expected_and_learned() -> None:
    returns = Returns()
    for _ in range(50):
        returns.learn("t", ["fast"], 0.1)
        returns.learn("t", ["slow"], 100.0)
    fast, slow = returns.expected("t", ["fast"]), returns.expected("t", ["slow"])
    assert returns.expected("t", ["fast", "slow"]) == slow
    returns.learn("t", ["fast", "slow"], 200.0)
    assert returns.expected("t", ["slow"])[1] > slow[1]
    assert returns.expected("t", ["fast"])[1] == pytest.approx(fast[1], rel=0.1)


def test_what_is_learned_follows_a_tool_that_changes() -> None:
    returns = Returns()
    for gap_s in [100.0] * 200 + [1.0] * 200:
        returns.learn("t", ["run"], gap_s)
    low, high = returns.expected("t", ["run"])
    assert low < 1.0 < high < 20.0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 600).map(str),
            st.lists(st.integers(0, 300).map(str), max_size=3),
            st.floats(0, 1e6),
        ),
        max_size=200,
    )
)
def test_the_table_is_bounded_and_every_range_is_one(
    told: list[tuple[str, list[str], float]],
) -> None:
    returns = Returns()
    for tenant, calls, gap_s in told:
        returns.learn(tenant, calls, gap_s)
        low, high = returns.expected(tenant, calls)
        assert 0 < low <= high < math.inf
    assert len(returns) <= 256 * 64


def test_one_tenant_s_names_push_out_nobody_else_s() -> None:
    returns = Returns()
    for _ in range(50):
        returns.learn("quiet", ["run"], 500.0)
    known = returns.expected("quiet", ["run"])
    for number in range(1000):
        returns.learn("loud", [f"tool-{number}"], 500.0)
    assert len(returns) == 65
    assert returns.expected("quiet", ["run"])[1] == pytest.approx(known[1], rel=0.2)
