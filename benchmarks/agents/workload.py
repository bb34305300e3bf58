"""Which sessions are played, and how many of them make a load."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.agents.costs import CARDS, MODELS, REACHED, Costs
from benchmarks.agents.generator import sessions
from benchmarks.agents.hidden import hide
from benchmarks.agents.sessions import PREFIX, Bounds, Script, mean_context, spent_s
from benchmarks.agents.trace import BadTrace, read

Loop: TypeAlias = Literal["closed", "open"]

_POOL_SHARE = 4  # no context may be longer than the pool over this


@dataclass(frozen=True, slots=True)
class Workload:
    """The sessions of every run; a seed makes them."""

    card: str = "h100"
    model: str = "20b-moe"
    trace: str | None = None
    """A file of recorded sessions; without one they are generated."""
    loop: Loop = "closed"
    sessions: int = 300
    bounds: Bounds = field(default_factory=Bounds)
    scale: int = 32
    """Real tokens that one simulated token stands for."""
    hidden: float = 0.0
    """The share of tools' calls that run within a request, where the client never sees them."""
    reached: str = "assumed"
    """Which shares of the card's peaks a step reaches."""

    @property
    def is_open(self) -> bool:
        """Whether sessions come whoever has ended."""
        return self.loop == "open"

    @property
    def costs(self) -> Costs:
        """The engine they are played on."""
        return Costs(CARDS[self.card], MODELS[self.model], reached=REACHED[self.reached])

    def scripts(self, seed: int) -> list[Script]:
        """The sessions, in their order. Raises BadTrace."""
        return [
            hide(script, self.hidden, random.Random(f"hidden-{seed}-{number}"))
            for number, script in enumerate(self._scripts(seed))
        ]

    def live(self, load: float, scripts: Sequence[Script]) -> int:
        """How many sessions at once make the load: their own tokens, and the prefix once, over
        the pool."""
        own = mean_context(scripts) - PREFIX
        return max(round((load * self.costs.pool - PREFIX) / own), 1)

    def starts(self, live: int, scripts: Sequence[Script], seed: int) -> list[float]:
        """When sessions come in the open loop: a Poisson process that an engine which never waits
        would hold so many live sessions of."""
        mean_s = sum(map(spent_s, scripts)) / len(scripts)
        rng = random.Random(f"starts-{seed}")
        starts, now = [], 0.0
        for _ in scripts:
            now += rng.expovariate(live / mean_s)
            starts.append(now)
        return starts

    def _scripts(self, seed: int) -> list[Script]:
        longest = min(self.bounds.longest, self.costs.pool // _POOL_SHARE)
        bounds = replace(self.bounds, longest=longest)
        if self.trace is None:
            usable = filter(None, map(bounds.cut, sessions(seed)))
            return list(islice(usable, self.sessions))
        recorded = list(filter(None, map(bounds.cut, read(Path(self.trace)))))
        if not recorded:
            raise BadTrace(
                f"{self.trace}: no session has {bounds.least_turns} turns and contexts of at "
                f"most {longest} tokens; take a card or a model with a larger pool"
            )
        random.Random(seed).shuffle(recorded)
        # A session that is played again shares no token with the first time.
        again = -(-self.sessions // len(recorded))
        return (recorded * again)[: self.sessions]
