"""When a session's context is needed again: one view for admission, retention and the tools' queue.

What is expected is a range of seconds that eight of ten absences end in, as the lookup table tells
it. Between and beyond its ends the absence is taken as log-normal, the law that tools' run times
follow closely enough, so that what is left can be told for any time already gone. Beyond them the
law is a guess: what is left is never taken to be more than the later end, or than what has gone.
"""

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

Stand: TypeAlias = Literal["away", "coming", "aside", "done"]

_Z90 = 1.2815515655446004  # the ninth decile of the standard normal law
_Z999 = 3.090232306167813  # and what one in a thousand is above
_ROOT2 = math.sqrt(2)
_LEAST_S = 1e-3
_SURE = 1e-3  # a narrower spread, in natural logarithms, is a point
_HALVINGS = 12
_UNHEARD_OF = 1e-3  # the share of absences beyond which the range says nothing any more


class Outlook(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a session between two turns, told to the engine that holds its context.

    - `away`: in a tool or at its client.
    - `coming`: its next turn is on its way.
    - `aside`: admission has set it aside; it returns after all that are admitted.
    - `done`: no turn comes.
    """

    session: str
    stand: Stand
    gone_s: float = 0.0
    """How long it has been away, when this is told."""
    expected_s: tuple[float, float] | None = None
    """The range the whole absence is expected in (p10 and p90); None where nothing is known."""


def left_s(gone_s: float, expected_s: tuple[float, float] | None) -> float:
    """Seconds until an absence is expected to end, after `gone_s` of it: E[T - gone | T > gone].

    Of what nothing is known, or what has outlasted all that was expected, as much is left as has
    gone: what has lasted long will last long.
    """
    return gone_s if expected_s is None else _absence(expected_s).left_s(gone_s)


class Absence:
    """An absence of which the range is known, for whoever asks more than once what is left."""

    __slots__ = ("_late", "_mean", "_middle", "_spread")

    def __init__(self, expected_s: tuple[float, float]) -> None:
        low, high = sorted(math.log(max(end_s, _LEAST_S)) for end_s in expected_s)
        self._middle = (low + high) / 2
        self._spread = (high - low) / (2 * _Z90)
        self._mean = math.exp(self._middle + self._spread**2 / 2)
        self._late = math.exp(high)

    def left_s(self, gone_s: float) -> float:
        """What is left, after so much of it."""
        spread = self._spread
        if spread < _SURE:
            left = self._mean - gone_s
            return left if left > 0 else gone_s
        if gone_s <= _LEAST_S:
            return min(self._mean - gone_s, self._late)
        past = (math.log(gone_s) - self._middle) / spread
        still = math.erfc(past / _ROOT2)
        if still < 2 * _UNHEARD_OF:
            return gone_s
        left = self._mean * math.erfc((past - spread) / _ROOT2) / still - gone_s
        return min(left, max(self._late, gone_s))


_absence = lru_cache(maxsize=4096)(Absence)


@lru_cache(maxsize=4096)
def unheard_s(expected_s: tuple[float, float]) -> float:
    """The age that one in a thousand of such absences reaches."""
    low, high = sorted(math.log(max(end_s, _LEAST_S)) for end_s in expected_s)
    return math.exp((low + high) / 2 + _Z999 * (high - low) / (2 * _Z90))


@lru_cache(maxsize=4096)
def outlasts_s(patience_s: float, expected_s: tuple[float, float] | None) -> float:
    """The age from which on an absence is expected to last for more than so much longer."""
    if expected_s is None:
        return patience_s
    absence = Absence(expected_s)
    young, old = 0.0, max(_LEAST_S, min(expected_s))
    if absence.left_s(young) > patience_s:
        return young
    while absence.left_s(old) <= patience_s:
        young, old = old, old * 2  # ends: what has outlasted everything lasts as long again
    for _ in range(_HALVINGS):
        age_s = (young + old) / 2
        if absence.left_s(age_s) > patience_s:
            old = age_s
        else:
            young = age_s
    return old
