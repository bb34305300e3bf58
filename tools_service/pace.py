"""How much progress of one call is passed on: never backwards, and not a flood."""

import math
from dataclasses import dataclass

BURST = 20
EVERY_S = 0.1


@dataclass(slots=True)
class Pace:
    """Lets `burst` reports through at once, and one every `every_s` seconds for good.

    What is held back is lost: the next report says more. A second attempt starts at zero again and
    is silent until it is further than the first one came, for progress must increase.
    """

    burst: int = BURST
    every_s: float = EVERY_S
    _furthest: float = -math.inf
    _saved: float | None = None
    _at: float = 0.0

    def lets(self, done: float, now: float) -> bool:
        """Whether this report goes on."""
        if done <= self._furthest:
            return False
        saved = self.burst if self._saved is None else self._saved
        saved = min(saved + (now - self._at) / self.every_s, self.burst)
        self._at, self._saved = now, saved
        if saved < 1:
            return False
        self._saved = saved - 1
        self._furthest = done
        return True
