"""What a policy knows of the gap before a session's next turn."""

import random
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from benchmarks.agents.sessions import Turn
from tools_service.runtimes import Key, Table

Kind: TypeAlias = Literal["events", "table", "noisy", "perfect"]

_NOISE = 1.5  # standard deviation of the logarithm of estimate over truth


class Knowledge(Protocol):
    """Tells how long a gap will be, and learns how long it was."""

    def expect(self, session: int, number: int, turn: Turn) -> tuple[float, float] | None:
        """The range of seconds expected before a session's turn; None where nothing is known."""

    def learn(self, turn: Turn, now: float) -> None:
        """The gap before the turn has ended."""


@dataclass(slots=True)
class Events:
    """Begin and end, and nothing else."""

    def expect(self, session: int, number: int, turn: Turn) -> tuple[float, float] | None:
        """Nothing is known."""
        return None

    def learn(self, turn: Turn, now: float) -> None:
        """Nothing is kept."""


@dataclass(slots=True)
class Perfect:
    """The gap itself, or that times log-normal noise, the same for a turn under every policy."""

    noise: float = 0.0
    seed: int = 0

    def expect(self, session: int, number: int, turn: Turn) -> tuple[float, float] | None:
        """A point, not a range."""
        gap_s = turn.gap_s
        if self.noise:
            rng = random.Random(f"{self.seed}-{session}-{number}")
            gap_s *= rng.lognormvariate(0.0, self.noise)
        return gap_s, gap_s

    def learn(self, turn: Turn, now: float) -> None:
        """There is nothing to learn."""


@dataclass(slots=True)
class Learned:
    """The service's own lookup table, empty at the start, a row per tool."""

    table: Table = field(default_factory=Table)

    def expect(self, session: int, number: int, turn: Turn) -> tuple[float, float] | None:
        """Its expected range."""
        return self.table.expected(_key(turn)).range_s

    def learn(self, turn: Turn, now: float) -> None:
        """One more run time."""
        key = _key(turn)
        self.table.observe(key, "ok", turn.gap_s, self.table.expected(key), now)


def make(kind: Kind, seed: int) -> Knowledge:
    """The knowledge of that kind; `seed` is that of the noise."""
    match kind:
        case "events":
            return Events()
        case "table":
            return Learned()
        case "noisy":
            return Perfect(_NOISE, seed)
        case "perfect":
            return Perfect()


def _key(turn: Turn) -> Key:
    return Key(turn.tool, "", "open")
