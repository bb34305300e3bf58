"""Sessions with the statistics of recorded coding agents, by compact laws.

Fitted to the quantiles of 268 recorded Claude Code sessions (kv-cache-tester, Apache-2.0); the
tools' names are ours, as none were recorded: their mixture has the recorded gaps.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.agents.sessions import HUMAN, PREFIX, Script, Turn


@dataclass(frozen=True, slots=True)
class Law:
    """A log-normal: `least` plus exp(N(log(p50), spread))."""

    p50: float
    spread: float
    least: float = 0.0

    def draw(self, rng: random.Random) -> float:
        """One value."""
        return self.least + rng.lognormvariate(math.log(self.p50), self.spread)


TOOLS: dict[str, tuple[float, Law]] = {
    "read": (0.34, Law(1.6, 0.7, 3.0)),
    "edit": (0.22, Law(4.0, 0.7, 3.0)),
    "bash": (0.27, Law(9.0, 1.2, 3.0)),
    "search": (0.08, Law(15.0, 1.0, 3.0)),
    "test": (0.06, Law(80.0, 1.0, 3.0)),
    "agent": (0.03, Law(300.0, 1.6, 3.0)),
}
"""How often each tool is called, and the gap it leaves."""

_HUMAN_SHARE = 0.135
_HUMAN = Law(75.0, 1.7)
_TURNS = Law(42.0, 1.1)
_FRESH_SHARE = 0.6
_FRESH = Law(6_500.0, 0.45, 12_000.0)
_RESUMED = (math.log(30_000), math.log(150_000))
_STILL_SHARE = 0.12  # turns whose prompt adds next to nothing
_GROWTH, _EARLY_GROWTH = 400.0, 3_400.0  # medians; the second falls with the square of the turn
_GROWTH_SPREAD = 1.7
_ANSWER = Law(170.0, 1.35, 60.0)
_LONGEST_ANSWER = 32_000
_BREAK_SHARES = (0.18, 0.012)  # of second and of later turns, that change what was said before
_TAIL_SHARE = 0.2  # of these change only the end of it
_SUMMARY_SHARE = 0.15  # and these make it shorter


def sessions(seed: int) -> Iterator[Script]:
    """Endless sessions, the same for the same seed."""
    number = 0
    while True:
        yield _session(random.Random(f"{seed}-{number}"))
        number += 1


def _session(rng: random.Random) -> Script:
    turns = [Turn(_first(rng), _answer(rng), 0)]
    count = max(1, round(_TURNS.draw(rng)))
    while len(turns) < count:
        before, number = turns[-1].context, len(turns)
        kept, prompt = before, before + _added(number, rng)
        if rng.random() < _BREAK_SHARES[number > 1]:
            kept = _unbroken(before, rng)
            if rng.random() < _SUMMARY_SHARE:
                prompt = round(rng.uniform(0.3, 0.8) * before)
            prompt = max(prompt, kept + 1)
        tool, gap_s = _gap(rng)
        turns.append(Turn(prompt, _answer(rng), kept, tool, gap_s))
    return tuple(turns)


def _first(rng: random.Random) -> int:
    if rng.random() < _FRESH_SHARE:
        return round(_FRESH.draw(rng))
    return round(math.exp(rng.uniform(*_RESUMED)))


def _answer(rng: random.Random) -> int:
    return min(round(_ANSWER.draw(rng)), _LONGEST_ANSWER)


def _added(number: int, rng: random.Random) -> int:
    """Tokens that a turn adds: an agent first reads much, then works."""
    if rng.random() < _STILL_SHARE:
        return 1
    return 1 + round(Law(_GROWTH + _EARLY_GROWTH / number**2, _GROWTH_SPREAD).draw(rng))


def _unbroken(before: int, rng: random.Random) -> int:
    """Tokens that are left of a context when something in it changes."""
    if rng.random() < _TAIL_SHARE:
        return round(0.99 * before)
    return min(PREFIX, before)


def _gap(rng: random.Random) -> tuple[str, float]:
    if rng.random() < _HUMAN_SHARE:
        return HUMAN, _HUMAN.draw(rng)
    names = list(TOOLS)
    (tool,) = rng.choices(names, [share for share, _ in TOOLS.values()])
    return tool, TOOLS[tool][1].draw(rng)
