"""When a session's context is needed again: one view for admission, retention and the tools' queue.

What is expected is a range of seconds that eight of ten absences end in, as the lookup table tells
it. Between and beyond its ends the absence is taken as log-normal, the law that tools' run times
follow closely enough, so that what is left can be told for any time already gone.
"""

import math
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

Stand: TypeAlias = Literal["away", "coming", "aside", "done"]

_Z90 = 1.2815515655446004  # the ninth decile of the standard normal law
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
    if expected_s is None:
        return gone_s
    low, high = sorted(math.log(max(end_s, _LEAST_S)) for end_s in expected_s)
    middle, spread = (low + high) / 2, (high - low) / (2 * _Z90)
    if spread < _SURE:
        left = math.exp(middle) - gone_s
        return left if left > 0 else gone_s
    if gone_s <= _LEAST_S:
        return math.exp(middle + spread**2 / 2) - gone_s
    past = (math.log(gone_s) - middle) / spread
    still = _above(past)
    if still < _UNHEARD_OF:
        return gone_s
    return math.exp(middle + spread**2 / 2) * _above(past - spread) / still - gone_s


@lru_cache(maxsize=4096)
def outlasts_s(patience_s: float, expected_s: tuple[float, float] | None) -> float:
    """The age from which on an absence is expected to last for more than so much longer."""
    if expected_s is None:
        return patience_s
    young, old = 0.0, max(_LEAST_S, min(expected_s))
    if left_s(young, expected_s) > patience_s:
        return young
    while left_s(old, expected_s) <= patience_s:
        young, old = old, old * 2  # ends: what has outlasted everything lasts as long again
    for _ in range(_HALVINGS):
        age_s = (young + old) / 2
        if left_s(age_s, expected_s) > patience_s:
            old = age_s
        else:
            young = age_s
    return old


def _above(z: float) -> float:
    """The standard normal law's upper tail."""
    return 0.5 * math.erfc(z / math.sqrt(2))
