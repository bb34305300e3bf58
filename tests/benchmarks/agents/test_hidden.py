"""Calls within a request leave the context with it."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.agents.hidden import hide
from benchmarks.agents.sessions import HUMAN, Script, Turn
from benchmarks.agents.workload import Workload

ASKED = (
    Turn(1_000, 50, 0),
    Turn(1_250, 60, 1_050, "bash", 2.0),
    Turn(1_410, 70, 1_310, "read", 3.0),
    Turn(1_580, 80, 1_480, HUMAN, 9.0),
)
sizes = st.integers(1, 500)
added = st.tuples(sizes, sizes, st.floats(0, 1), st.sampled_from(["bash", HUMAN]))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    turns = [Turn(draw(sizes), draw(sizes), 0)]
    for more, answer, kept, tool in draw(st.lists(added, max_size=12)):
        before = turns[-1].context
        turns.append(Turn(before + more, answer, round(kept * before), tool, 1.0))
    return tuple(turns)


def test_without_hidden_calls_a_session_is_what_it_was() -> None:
    assert hide(ASKED, 0.0, random.Random(1)) == ASKED


def test_what_was_hidden_is_gone_with_the_clients_next_request_and_the_answer_is_told_anew() -> (
    None
):
    first, second, third, fourth = hide(ASKED, 1.0, random.Random(1))
    assert (first, second, third) == ASKED[:3]
    # Without the two calls and results of 410 tokens; the third answer is behind the first prompt.
    assert fourth == Turn(1_170, 80, 1_000, HUMAN, 9.0)


@given(scripts(), st.floats(0, 1), st.integers(0, 9))
def test_every_turn_begins_with_something_that_was_there(
    script: Script, share: float, seed: int
) -> None:
    played = hide(script, share, random.Random(seed))
    assert [turn.answer for turn in played] == [turn.answer for turn in script]
    for before, after in pairwise(played):
        assert 0 <= after.kept <= before.context
        assert after.kept < after.prompt


def test_sessions_are_as_long_as_they_were_but_hold_less() -> None:
    seen, hidden = (Workload(sessions=20, hidden=share).scripts(1) for share in (0.0, 0.8))
    assert list(map(len, hidden)) == list(map(len, seen))
    assert sum(script[-1].prompt for script in hidden) < sum(script[-1].prompt for script in seen)
