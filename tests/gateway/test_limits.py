"""What a key may ask for, and how long a session may go on."""

import pytest

from gateway.access import Grant
from gateway.config import SessionCaps
from gateway.errors import LimitReached, SessionSpent
from gateway.keys import Terms
from gateway.limits import Limits, check
from gateway.sessions import Session
from gateway.store import MemoryStore
from tests.parts.clock import Clock


def limits() -> tuple[Limits, Clock]:
    clock = Clock()
    return Limits(MemoryStore(clock)), clock


async def ask(limits: Limits, grant: Grant, session: str = "s") -> None:
    async with limits.request(grant, session):
        pass


async def test_requests_of_a_minute_are_counted_and_come_back_with_time() -> None:
    door, clock = limits()
    grant = Grant("t", Terms(requests_per_minute=2))
    await ask(door, grant)
    await ask(door, grant)
    with pytest.raises(LimitReached, match="2 requests a minute") as refused:
        await ask(door, grant)
    assert refused.value.headers["retry-after"] == "30"
    await ask(door, Grant("another", grant.terms))
    clock.now_s = 30.0
    await ask(door, grant)


async def test_tokens_are_taken_when_they_have_been_used_and_what_is_owed_is_waited_for() -> None:
    door, clock = limits()
    grant = Grant("t", Terms(tokens_per_minute=600))
    await ask(door, grant)
    await door.charge(grant, 1200)
    with pytest.raises(LimitReached) as refused:
        await ask(door, grant)
    assert refused.value.headers["retry-after"] == "59"
    clock.now_s = 61.0
    await ask(door, grant)


async def test_as_many_sessions_as_allowed_have_a_request_at_once() -> None:
    door, _ = limits()
    grant = Grant("t", Terms(sessions=1))
    async with door.request(grant, "one"):
        await ask(door, grant, "one")
    async with door.request(grant, "one"):
        with pytest.raises(LimitReached, match="1 sessions"):
            await ask(door, grant, "two")
    await ask(door, grant, "two")


async def test_without_terms_nothing_is_limited() -> None:
    door, _ = limits()
    for _ in range(100):
        await ask(door, Grant("t"))


@pytest.mark.parametrize(
    ("turns", "tokens", "now_s", "said"),
    [(3, 0, 0.0, "3 turns"), (0, 100, 0.0, "100 tokens"), (0, 0, 60.0, "60 seconds")],
)
def test_a_session_that_has_used_its_share_is_stopped(
    turns: int, tokens: int, now_s: float, said: str
) -> None:
    caps = SessionCaps(turns=3, tokens=100, time_s=60.0)
    check(caps, Clock(59.9), Session("s", "t", "g", True, turns=2, tokens=99))
    spent = Session("s", "t", "g", True, turns=turns, tokens=tokens)
    with pytest.raises(SessionSpent, match=said):
        check(caps, Clock(now_s), spent)
    check(SessionCaps(), Clock(now_s), spent)
