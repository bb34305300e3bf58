"""Whose KV blocks are worth most: what the engine knows of sessions, as values and a clock."""

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engine.outlook import Absence, Outlook, Stand

T = TypeVar("T")

SOON_S = 0.05
"""Nobody is needed sooner than this."""
_GONE_S = 1.0  # an absence that has just begun says nothing yet


@dataclass(slots=True, eq=False)
class Session:
    """One agent's program, as far as its blocks go."""

    name: str
    arrived_s: float
    """When its last turn came."""
    turns: int = 0
    """Turns that wait or run in the engine now."""
    stand: Stand = "away"
    since_s: float = 0.0
    expected_s: tuple[float, float] | None = None
    """The range its absence is expected in, as far as anything is known."""
    absence: Absence | None = None
    """The law of it, made when it is first asked for: most come back before."""
    is_told: bool = False
    """Whether something was told of it since its last turn came."""
    evicted: int = 0
    """Blocks it has lost since its last turn ended."""

    def arrive(self, now: float) -> None:
        """A turn has come to the engine."""
        self.turns += 1
        self.arrived_s = now
        self.is_told = False
        self.evicted = 0

    def leave(self, now: float) -> None:
        """A turn has ended. What comes next is not known, unless it was told while it ran."""
        self.turns -= 1
        if not self.turns and not self.is_told:
            self.stand, self.since_s = "away", now
            self.expected_s = self.absence = None

    def expect(self, outlook: Outlook, now: float) -> None:
        """Something was told of it."""
        self.is_told = True
        self.stand, self.since_s = outlook.stand, now - outlook.gone_s
        self.expected_s, self.absence = outlook.expected_s, None

    def left_s(self, now: float) -> float:
        """Seconds until its next turn is expected.

        Expectations may be wrong by any factor, and what has gone is known: the geometric mean of
        both halves the error of the one, and loses little of it where it is right.
        """
        gone_s = now - self.since_s
        if gone_s < 0.0:
            gone_s = 0.0
        if self.expected_s is None:
            return gone_s
        if self.absence is None:
            self.absence = Absence(self.expected_s)
        left_s = self.absence.left_s(gone_s)
        return math.sqrt((left_s if left_s > SOON_S else SOON_S) * (gone_s + _GONE_S))


@dataclass(slots=True, eq=False)
class Chain(Generic[T]):
    """The blocks of one context, from its beginning to its end."""

    session: Session | None
    """None for a context of nobody."""
    ended_s: float
    """When the last turn over it ended."""
    tokens: int
    blocks: list[T] = field(default_factory=list)
    hashes: list[object] = field(default_factory=list)
    """What each block held when the turn ended. A block that holds something else is lost."""
    is_newest: bool = True
    """Whether it is the session's newest context."""
    is_parallel: bool = False
    """Whether the session has come back to it from another: it has several conversations."""
    is_cut: bool = False
    """Whether its end was given up."""


def rank(chain: Chain[T], now: float, cost_per_token: float) -> tuple[int, float]:
    """The lower, the earlier its blocks are given up.

    Finished sessions go first, then what nobody goes on from, then sessions that admission has set
    aside, then those that wait for a tool or their client: of these, who is worth least. What a
    token is worth is the time it takes to compute it again over the time until it is needed.
    Turns that wait in the engine come last, and of them the one that came last goes first.
    """
    session = chain.session
    if session is None:
        return 1, 0.0
    if not chain.is_newest:
        # Most are what is left of a history that was edited, or of calls that were hidden.
        return 3 if chain.is_parallel else 1, cost_per_token / max(now - chain.ended_s, SOON_S)
    if session.turns:
        return 4, -session.arrived_s
    if session.stand == "done":
        return 0, session.since_s
    left_s = session.left_s(now)
    worth = cost_per_token / (left_s if left_s > SOON_S else SOON_S)
    return (2 if session.stand == "aside" else 3), worth
