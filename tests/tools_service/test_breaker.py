"""The states of a circuit breaker, in passed-in time."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tools_service.breaker import Breaker, State
from tools_service.execution_config import BreakerConfig

CONFIG = BreakerConfig(ratio=0.5, calls=4, window_s=10.0, open_s=5.0)


def ran(breaker: Breaker, *goods: bool | None, now: float = 0.0) -> Breaker:
    """Lets attempts end like this, one after the other."""
    for good in goods:
        breaker.end(breaker.begin(now), good, now)
    return breaker


def opened_at_0() -> Breaker:
    return ran(Breaker(CONFIG), False, False, False, False)


def test_it_opens_when_half_of_enough_attempts_failed() -> None:
    assert ran(Breaker(CONFIG), False, False, True).state(0.0) is State.CLOSED
    assert ran(Breaker(CONFIG), False, True, True, False).state(0.0) is State.OPEN
    assert ran(Breaker(CONFIG), False, True, True, True, True).state(0.0) is State.CLOSED


def test_what_is_long_ago_or_says_nothing_does_not_count() -> None:
    breaker = ran(Breaker(CONFIG), False, False, False, None, None)
    assert ran(breaker, False, now=10.0).state(10.0) is State.CLOSED


def test_open_refuses_with_the_time_that_is_left() -> None:
    breaker = opened_at_0()
    assert breaker.refused_s(0.0) == 5.0
    assert breaker.refused_s(4.0) == 1.0
    assert breaker.state(5.0) is State.HALF_OPEN
    assert breaker.refused_s(5.0) is None


def test_half_open_lets_one_probe_through_and_its_success_closes() -> None:
    breaker = opened_at_0()
    probe = breaker.begin(5.0)
    assert breaker.refused_s(5.5) == 0.0
    breaker.end(probe, True, 6.0)
    assert breaker.state(6.0) is State.CLOSED
    assert breaker.refused_s(6.0) is None


def test_a_failed_probe_opens_for_as_long_again() -> None:
    breaker = opened_at_0()
    breaker.end(breaker.begin(5.0), False, 6.0)
    assert breaker.refused_s(6.0) == 5.0
    assert breaker.state(11.0) is State.HALF_OPEN


def test_a_probe_that_says_nothing_leaves_its_place_to_the_next() -> None:
    breaker = opened_at_0()
    breaker.end(breaker.begin(5.0), None, 6.0)
    assert breaker.state(6.0) is State.HALF_OPEN
    assert breaker.refused_s(6.0) is None


def test_what_began_before_it_opened_neither_closes_nor_keeps_it_open() -> None:
    breaker = Breaker(CONFIG)
    early = [breaker.begin(0.0) for _ in range(3)]
    ran(breaker, False, False, False, False)
    probe = breaker.begin(5.0)
    breaker.end(early[0], True, 5.0)
    breaker.end(early[1], False, 5.0)
    assert breaker.state(5.0) is State.HALF_OPEN
    breaker.end(probe, True, 5.0)
    breaker.end(early[2], False, 5.0)
    assert ran(breaker, False, False, False, now=5.0).state(5.0) is State.CLOSED


@dataclass
class Model:
    """The same machine, said plainly: a list of what ended, and the time it opened."""

    ended: list[tuple[float, bool]] = field(default_factory=list)
    opened: float | None = None
    era: int = 0
    probing: bool = False

    def may(self, now: float) -> bool:
        return self.opened is None or (now - self.opened >= CONFIG.open_s and not self.probing)

    def end(self, era: int, good: bool | None, now: float) -> None:
        if era != self.era:
            return
        if self.opened is not None:
            self.probing = False
            if good is not None:
                self.turn(None if good else now)
        elif good is not None:
            self.ended.append((now, good))
            seen = [good for at, good in self.ended if at > now - CONFIG.window_s]
            if (
                not good
                and len(seen) >= CONFIG.calls
                and seen.count(False) >= CONFIG.ratio * len(seen)
            ):
                self.turn(now)

    def turn(self, opened: float | None) -> None:
        self.opened, self.ended, self.era = opened, [], self.era + 1


steps = st.tuples(
    st.sampled_from(["begin", "end"]),
    st.sampled_from([True, False, False, None]),
    st.sampled_from([0.0, 0.5, 2.0, 6.0]),
    st.integers(0, 10),
)


@given(st.lists(steps, max_size=150))
def test_it_does_what_the_plain_model_does(
    story: list[tuple[str, bool | None, float, int]],
) -> None:
    breaker, model, now = Breaker(CONFIG), Model(), 0.0
    running: list[tuple[int, int]] = []
    for act, good, gap_s, which in story:
        now += gap_s
        assert (breaker.refused_s(now) is None) is model.may(now)
        if act == "begin" and model.may(now):
            model.probing = model.opened is not None
            running.append((breaker.begin(now), model.era))
        elif act == "end" and running:
            turn, era = running.pop(which % len(running))
            breaker.end(turn, good, now)
            model.end(era, good, now)
        assert (breaker.state(now) is State.CLOSED) is (model.opened is None)


@given(st.lists(st.booleans(), max_size=60))
def test_it_never_stays_shut_to_an_upstream_that_answers_again(goods: list[bool]) -> None:
    breaker, now = Breaker(CONFIG), 0.0
    for good in goods:
        if breaker.refused_s(now) is None:
            ran(breaker, good, now=now)
        now += 1.0
    now += CONFIG.open_s
    assert ran(breaker, True, now=now).state(now) is State.CLOSED
