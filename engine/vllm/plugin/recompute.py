"""What it costs to compute a context anew, learned from the engine's own steps."""

from dataclasses import dataclass

_KEEP = 0.98
LEAST_TOKENS = 256
"""Steps that compute fewer of prompts teach nothing."""


@dataclass(slots=True)
class Recompute:
    """Seconds per token as a line over the token's place in its context.

    Attention makes a token the dearer the more stand before it, so that a whole context costs
    a * c**2 + b * c. Old steps fade. Until steps of different depth were seen, all tokens are
    alike.
    """

    _n: float = 0.0
    _x: float = 0.0
    _y: float = 0.0
    _xx: float = 0.0
    _xy: float = 0.0

    def note(self, tokens: int, depth: float, took_s: float) -> None:
        """A step has computed so many prompt tokens, at this mean place in their contexts."""
        if tokens < LEAST_TOKENS or took_s <= 0:
            return
        y = took_s / tokens
        self._n = _KEEP * self._n + 1
        self._x = _KEEP * self._x + depth
        self._y = _KEEP * self._y + y
        self._xx = _KEEP * self._xx + depth * depth
        self._xy = _KEEP * self._xy + depth * y

    def per_token(self) -> tuple[float, float]:
        """Seconds for each token of a context on the mean: at no length, and more for each token.

        A constant until something is learned.
        """
        if not self._n:
            return 1.0, 0.0
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x**2
        if spread <= (0.1 * mean_x) ** 2:
            return mean_y, 0.0
        slope = max((self._xy / self._n - mean_x * mean_y) / spread, 0.0)
        # Never steeper than a line through nothing: the first token costs something too.
        slope = min(slope, 0.95 * mean_y / mean_x)
        return mean_y - slope * mean_x, slope / 2
