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
    "read": (0.35, Law(1.6, 0.7, 3.0)),
    "edit": (0.22, Law(4.0, 0.7, 3.0)),
    "bash": (0.28, Law(8.0, 1.1, 3.0)),
    "search": (0.09, Law(15.0, 0.9, 3.0)),
    "test": (0.04, Law(80.0, 1.0, 3.0)),
    "agent": (0.02, Law(250.0, 1.3, 3.0)),
}
"""How often each tool is called, and the gap it leaves."""

_HUMAN_SHARE = 0.13
_HUMAN = Law(84.0, 1.5)
_TURNS = Law(42.0, 1.1)
_FRESH_SHARE = 0.6
_FRESH = Law(4_500.0, 0.7, PREFIX)
_RESUMED = (math.log(24_000), math.log(150_000))
_STILL_SHARE = 0.15  # turns whose prompt adds next to nothing
_GROWTH = Law(450.0, 1.85)
_ANSWER = Law(170.0, 1.35, 60.0)
_BREAK_SHARE = 0.02  # turns that change what they said before
_REWIND_SHARE = 0.3
_LONGEST_ANSWER = 32_000


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
        before = turns[-1].context
        added = 1 if rng.random() < _STILL_SHARE else 1 + round(_GROWTH.draw(rng))
        prompt, kept = before + added, before
        if rng.random() < _BREAK_SHARE:
            prompt, kept = _rewritten(before, rng)
        tool, gap_s = _gap(rng)
        turns.append(Turn(prompt, _answer(rng), kept, tool, gap_s))
    return tuple(turns)


def _first(rng: random.Random) -> int:
    if rng.random() < _FRESH_SHARE:
        return round(_FRESH.draw(rng))
    return round(math.exp(rng.uniform(*_RESUMED)))


def _answer(rng: random.Random) -> int:
    return min(round(_ANSWER.draw(rng)), _LONGEST_ANSWER)


def _rewritten(before: int, rng: random.Random) -> tuple[int, int]:
    """Prompt and kept tokens of a turn that breaks the prefix: an edit near the end, or a new
    summary behind the system prompt."""
    if rng.random() < _REWIND_SHARE:
        kept = round(0.99 * before)
        return kept + 1 + round(_GROWTH.draw(rng)), kept
    prompt = max(PREFIX + 1_000, round(rng.uniform(0.5, 1.0) * before))
    return prompt, min(PREFIX, before)


def _gap(rng: random.Random) -> tuple[str, float]:
    if rng.random() < _HUMAN_SHARE:
        return HUMAN, _HUMAN.draw(rng)
    names = list(TOOLS)
    (tool,) = rng.choices(names, [share for share, _ in TOOLS.values()])
    return tool, TOOLS[tool][1].draw(rng)
