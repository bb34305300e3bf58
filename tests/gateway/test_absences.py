"""Who is away for long is looked up once for many heads, and is asked again before it goes."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.absences import Absences
from gateway.program import Program, Stand

PATIENCE_S = 10.0


def idle(name: str, since_s: float, away_s: tuple[float, float] | None = None) -> Program:
    program = Program(name, "tenant", 0.0, stand=Stand.IDLE, since_s=since_s)
    program.away_s = away_s
    return program


def names(absences: Absences, now: float) -> list[object]:
    return [program.key for program in absences.still(PATIENCE_S, now)]


def test_the_longest_away_come_first_and_the_others_not_at_all() -> None:
    soon, late, later = idle("soon", 100.0), idle("late", 80.0), idle("later", 50.0)
    absences = Absences()
    assert names(absences, 100.0) == []
    absences.look([soon, later, late], PATIENCE_S, 100.0)
    assert names(absences, 100.0) == ["later", "late"]
    assert absences.next_s == 110.0, "then nobody knows any more when `soon` comes"


def test_who_has_come_back_since_the_look_keeps_its_place() -> None:
    gone, back, again = (idle(name, 50.0) for name in ("gone", "back", "again"))
    absences = Absences()
    absences.look([gone, back, again], PATIENCE_S, 100.0)
    back.stand = Stand.RUNNING
    again.since_s = 100.4
    gone.away_s, waits = (50.5, 50.6), idle("waits", 0.0)
    assert names(absences, 100.5) == []
    absences.look([gone, again, waits], PATIENCE_S, 100.5)
    assert names(absences, 100.5) == ["waits"]


def test_an_old_order_counts_for_nothing() -> None:
    absences = Absences()
    absences.look([idle("a", 50.0)], PATIENCE_S, 100.0)
    assert names(absences, 101.0) == ["a"]
    assert names(absences, 101.1) == []


def test_after_a_look_in_vain_there_is_a_pause_and_its_end_is_told() -> None:
    absences = Absences()
    assert absences.may_look(100.0)
    absences.look([], PATIENCE_S, 100.0)
    assert absences.next_s == math.inf
    absences.pause(100.0)
    assert absences.next_s == math.inf, "nobody has asked in the pause"
    assert not absences.may_look(100.01)
    assert absences.may_look(absences.next_s) is True


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.none() | st.tuples(st.floats(0, 50), st.floats(50, 500)))
    ),
    st.floats(0, 1.0),
)
def test_nobody_is_found_who_is_expected_soon(
    programs: list[tuple[float, tuple[float, float] | None]], passed_s: float
) -> None:
    all_ = [idle(str(at), since_s, away_s) for at, (since_s, away_s) in enumerate(programs)]
    absences = Absences()
    absences.look(all_, PATIENCE_S, 100.0)
    found = list(absences.still(PATIENCE_S, 100.0))
    assert found == sorted(found, key=lambda one: -one.returns_in_s(100.0))
    assert set(found) == {one for one in all_ if one.returns_in_s(100.0) > PATIENCE_S}
    now = 100.0 + passed_s
    later = [one.returns_in_s(now) for one in absences.still(PATIENCE_S, now)]
    assert all(left_s > PATIENCE_S for left_s in later)
