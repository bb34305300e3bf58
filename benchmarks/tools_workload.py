"""What agents ask of their tools: turns of parallel calls, by published run times.

Run times are log-normal. p50 and p90 of `python`, `file` and `deep` are TraceLab's (arXiv
2606.30560: shell; read and search of files; web and lookup). C^2, the squared coefficient of
variation, is 13.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

from tools_service.records import Kind
from tools_service.runtimes import Key

_NORMAL = NormalDist()
_SCORE_90 = _NORMAL.inv_cdf(0.9)
_SHAPES = 8


@dataclass(frozen=True, slots=True)
class Law:
    """How often a tool is called and how long it runs, in seconds."""

    share: float
    p50_s: float
    p90_s: float
    longest_s: float
    kind: Kind

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.p90_s / self.p50_s) / _SCORE_90

    @property
    def mean_s(self) -> float:
        """The mean of a log-normal cut off at `longest_s`."""
        middle, spread = math.log(self.p50_s), self.spread
        score = (math.log(self.longest_s) - middle) / spread
        below = math.exp(middle + spread * spread / 2) * _NORMAL.cdf(score - spread)
        return below + self.longest_s * (1 - _NORMAL.cdf(score))


LAWS = {
    "search": Law(0.35, 1.2, 2.6, 30, "open"),
    "fetch": Law(0.30, 1.5, 8.0, 30, "open"),
    "retrieval": Law(0.15, 0.05, 0.15, 5, "closed"),
    "python": Law(0.10, 0.85, 22.0, 120, "code"),
    "file": Law(0.08, 0.043, 0.476, 30, "closed"),
    "deep": Law(0.02, 5.8, 62.0, 180, "open"),
}
SIZES = {1: 0.55, 2: 0.18, 3: 0.10, 4: 0.07, 5: 0.05, 6: 0.03, 8: 0.02}
"""How many calls a turn makes at once, and the share of such turns."""

LONGEST_S = max(law.longest_s for law in LAWS.values())


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: what the table sees of it, and how long it will run."""

    key: Key
    run_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """Calls that come together and are waited for together."""

    at_s: float
    calls: tuple[ToolCall, ...]

    @property
    def least_s(self) -> float:
        """The time to the last result if nobody ever waited for a slot."""
        return max(call.run_s for call in self.calls)


@dataclass(frozen=True, slots=True)
class Load:
    """A workload: `share` of the slots busy on average; `pace` stretches all times.

    `explained` is the share of the logarithm's variance that the shape of the arguments tells.
    An `exact` load is that of the turns drawn, not of the law that they are drawn from.
    """

    share: float
    turns: int
    seed: int
    slots: int = 16
    pace: float = 1.0
    explained: float = 0.5
    exact: bool = False


def trace(load: Load) -> list[Turn]:
    """The turns of a workload, in the order in which they come: a Poisson stream.

    With tails this heavy the work that is drawn differs by 4 % from seed to seed, and the mean of a
    FIFO queue by half at a load of 0.85. An exact load spares a single run that chance, and leaves
    out the busier times, which are what a queue suffers from.
    """
    chance = random.Random(load.seed)
    gap_s = _work_s() * load.pace / (load.share * load.slots)
    turns, now = [], 0.0
    for _ in range(load.turns):
        now += chance.expovariate(1 / gap_s)
        (size,) = chance.choices(list(SIZES), list(SIZES.values()))
        turns.append(Turn(now, tuple(_calls(load, size, chance))))
    if not load.exact:
        return turns
    work_s = sum(call.run_s for turn in turns for call in turn.calls)
    stretch = work_s / (load.slots * now * load.share)
    return [replace(turn, at_s=turn.at_s * stretch) for turn in turns]


def _work_s() -> float:
    """Expected work of one turn."""
    size = sum(count * share for count, share in SIZES.items()) / sum(SIZES.values())
    return size * sum(law.share * law.mean_s for law in LAWS.values())


def _calls(load: Load, size: int, chance: random.Random) -> Iterator[ToolCall]:
    names = chance.choices(list(LAWS), [law.share for law in LAWS.values()], k=size)
    for name in names:
        law = LAWS[name]
        told, hidden = chance.gauss(), chance.gauss()
        score = math.sqrt(load.explained) * told + math.sqrt(1 - load.explained) * hidden
        run_s = min(law.p50_s * math.exp(law.spread * score), law.longest_s)
        shape = f"s{min(int(_NORMAL.cdf(told) * _SHAPES), _SHAPES - 1)}"
        yield ToolCall(Key(name, shape, law.kind), run_s * load.pace)
