"""ThunderAgent's rule, as a baseline."""

import math

from benchmarks.agents.sessions import PREFIX
from benchmarks.agents.thunder import Thunder
from gateway.program import Used


def used(own: int) -> Used:
    return Used(PREFIX + own, 0, 0)


def gate(half_life_s: float = math.inf) -> Thunder:
    """With room for 10,000 tokens beside the prefix."""
    return Thunder(PREFIX + 10_000, half_life_s)


def test_a_program_that_does_not_fit_waits_until_a_tick_finds_room() -> None:
    thunder = gate()
    thunder.ask(1, PREFIX + 6_000, 0.0)
    thunder.ask(2, PREFIX + 6_000, 0.0)
    assert thunder.look(0.0) == [1]
    thunder.end(1, used(6_000), None, 1.0)
    thunder.leave(1, 1.0)
    assert thunder.look(1.0) == []
    at_s = thunder.next_s(1.0)
    assert at_s is not None
    assert thunder.look(at_s) == [2]
    assert thunder.next_s(at_s) is None


def test_growth_pauses_the_smallest_in_a_tool() -> None:
    thunder = gate()
    for session, own in ((1, 2_000), (2, 3_000), (3, 4_000)):
        thunder.ask(session, PREFIX + own, 0.0)
        thunder.look(0.0)
        thunder.end(session, used(own), None, 1.0)
    thunder.ask(3, PREFIX + 6_000, 2.0)
    assert thunder.look(2.0) == [3]
    assert thunder.aside() == [1]
    assert thunder.set_aside == 1


def test_with_decay_a_session_long_in_a_tool_makes_room() -> None:
    for half_life_s, entered in ((math.inf, []), (1.0, [2])):
        thunder = gate(half_life_s)
        thunder.ask(1, PREFIX + 6_000, 0.0)
        thunder.end(1, used(6_000), None, 0.0)
        thunder.look(0.0)
        thunder.ask(2, PREFIX + 6_000, 30.0)
        assert thunder.look(30.0) == entered


def test_nobody_waits_longer_than_half_an_hour() -> None:
    thunder = gate()
    thunder.ask(1, PREFIX + 9_000, 0.0)
    thunder.ask(2, PREFIX + 9_000, 0.0)
    assert thunder.look(0.0) == [1]
    assert thunder.look(1_799.0) == []
    assert thunder.look(1_805.0) == [2]
