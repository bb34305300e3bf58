"""What is known of one agent's program: its context, its pauses, and the rule for all of them."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from engine.outlook import left_s, outlasts_s, unheard_s

FIRST_GROWTH = 1500.0
_GROWTH_WEIGHT = 0.3
_SOON_S = 5.0  # a client that is away for less has not gone


@dataclass(frozen=True, slots=True)
class Rule:
    """The parameters; `docs/admission.md` explains each."""

    target: float = 0.95
    slack: float = 0.1
    patience: float = 2.0
    aging: float = 4.0
    grace_s: float = 30.0
    bound_s: float = 120.0
    rotation: float = 0.5
    prefill_rate: float = 10_000.0
    """Tokens per second, until it is measured."""


class Stand(StrEnum):
    """How a program stands with the pool."""

    OUT = "out"
    WAITING = "waiting"
    RUNNING = "running"
    IDLE = "idle"


@dataclass(slots=True, eq=False)
class Program:
    """One program's account, in tokens and seconds."""

    key: Hashable
    tenant: str
    started_s: float
    weight: float = 1.0
    rank: tuple[int, int] = (0, 0)
    """Its service tier and its own priority: lower goes first."""
    tokens: int = 0
    """Its context at the end of the last turn, or as the turn that runs was estimated."""
    shared: int = 0
    """Of these, what its first turn found in the cache: others' work."""
    growth: float = FIRST_GROWTH
    kept: int = 0
    """What the cache held of it when its last turn ended; 0 where that is not to be expected."""
    turns: int = 0
    stand: Stand = Stand.OUT
    running: int = 0
    """Turns that run; an agent may ask for several at once."""
    asking: int = 0
    """Turns that wait."""
    since_s: float = 0.0
    """When it began to wait, or to be idle."""
    away_s: tuple[float, float] | None = None
    """The range of seconds, from `since_s` on, after which it is expected back."""
    at_client: bool = False
    """Whether it is its client that keeps it waiting, and not a tool of ours."""
    counted: tuple[float, int] | None = None
    """What the account of admitted programs holds of it: charge and shared tokens."""

    @property
    def charge(self) -> float:
        """Tokens it needs for itself until the end of its next turn."""
        return max(self.tokens - self.shared, 0) + self.growth

    def take(self, used: "Used") -> None:
        """Learn from a turn that has ended."""
        if self.turns:
            added = max(used.prompt + used.completion - self.tokens, 0)
            self.growth += _GROWTH_WEIGHT * (added - self.growth)
        else:
            self.shared = used.cached or 0
        self.turns += 1
        self.tokens = self.kept = used.prompt + used.completion

    def returns_in_s(self, now: float) -> float:
        """When an idle program is expected back; infinite for one that seems to have ended.

        A tool ends some time. A client that has never stayed away for so long may have no more to
        ask, and few say so.
        """
        gone_s = max(now - self.since_s, 0.0)
        return math.inf if gone_s >= self._ended_s else left_s(gone_s, self.away_s)

    def outlasts_at_s(self, patience_s: float, now: float) -> float:
        """When an idle program, until then not, is expected to stay away for so much longer."""
        age_s = outlasts_s(patience_s, self.away_s)
        gone_s = max(now - self.since_s, 0.0)
        if age_s <= gone_s:  # what is left has fallen below it once more: it can't for ever
            age_s = max(patience_s, gone_s * 1.1)
        return self.since_s + min(age_s, self._ended_s)

    @property
    def _ended_s(self) -> float:
        """The age of an absence from which on the program seems to have ended."""
        if not self.at_client or self.away_s is None:
            return math.inf
        return max(unheard_s(self.away_s), _SOON_S)


class Used(msgspec.Struct, frozen=True):
    """What a turn cost, in tokens; `cached` of the prompt were found, None: not known."""

    prompt: int
    completion: int
    cached: int | None
