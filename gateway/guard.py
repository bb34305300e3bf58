"""How much of the KV pool programs may fill, corrected by what is found in the cache."""

from collections import deque
from dataclasses import dataclass, field

_WINDOW, _GOOD_RUN = 50, 200
_MISSING, _FOUND = 0.5, 0.8
_LOWEST, _HIGHEST = 0.3, 0.98


@dataclass(slots=True)
class Guard:
    """Lowers the target when later turns miss their cache although all should fit.

    The idea is that of CONCUR (arXiv 2601.22705): cache signals as a congestion signal.
    """

    target: float
    _recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _good: int = 0

    def take(self, due: int, cached: int, demand_ratio: float) -> None:
        """Learn from a turn whose prompt should have found `due` tokens, and has found `cached`.

        `demand_ratio` is demand over pool.
        """
        self._recent.append((due, cached))
        found = sum(turn[1] for turn in self._recent) / sum(turn[0] for turn in self._recent)
        self._good = self._good + 1 if found > _FOUND else 0
        if self._good >= _GOOD_RUN:
            self.target, self._good = min(self.target + 0.01, max(_HIGHEST, self.target)), 0
        if len(self._recent) == _WINDOW and found < _MISSING:
            if demand_ratio <= self.target:
                self.target = max(self.target * 0.9, min(_LOWEST, self.target))
            self._recent.clear()
