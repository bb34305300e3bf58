"""Which sessions are played, and how many of them make a load."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from benchmarks.agents.costs import CARDS, MODELS, Costs
from benchmarks.agents.generator import sessions
from benchmarks.agents.sessions import PREFIX, Bounds, Script, mean_context
from benchmarks.agents.trace import BadTrace, read

_POOL_SHARE = 4  # no context may be longer than the pool over this


@dataclass(frozen=True, slots=True)
class Workload:
    """The sessions of every run; a seed makes them."""

    card: str = "h100"
    model: str = "20b-moe"
    trace: Path | None = None
    sessions: int = 300
    bounds: Bounds = field(default_factory=Bounds)
    scale: int = 16

    @property
    def costs(self) -> Costs:
        """The engine they are played on."""
        return Costs(CARDS[self.card], MODELS[self.model])

    def scripts(self, seed: int) -> list[Script]:
        """The sessions, in their order. Raises BadTrace."""
        longest = min(self.bounds.longest, self.costs.pool // _POOL_SHARE)
        bounds = replace(self.bounds, longest=longest)
        if self.trace is None:
            usable = filter(None, map(bounds.cut, sessions(seed)))
            return list(islice(usable, self.sessions))
        recorded = list(filter(None, map(bounds.cut, read(self.trace))))
        if not recorded:
            raise BadTrace(
                f"{self.trace}: no session with {bounds.least_turns} turns and contexts of at "
                f"most {longest} tokens; take a card or a model with a larger pool"
            )
        random.Random(seed).shuffle(recorded)
        again = -(-self.sessions // len(recorded))
        return (recorded * again)[: self.sessions]


def live(load: float, scripts: Sequence[Script], pool: int) -> int:
    """How many sessions at once make the load: their own tokens, and once the prefix, over the
    pool."""
    own = mean_context(scripts) - PREFIX
    return max(round((load * pool - PREFIX) / own), 1)
