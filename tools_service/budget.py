"""How much extra work may be made of the calls that come: a share of them, saved up to a bound."""

from dataclasses import dataclass


@dataclass(slots=True)
class Budget:
    """A bucket of tokens: each call puts `share` of one in, each extra attempt takes a whole one.

    Of n calls come at most `share * n + most` extra attempts, in every stretch of calls. Without a
    clock: when few calls come, few fail.
    """

    share: float
    most: float = 5.0
    _tokens: float | None = None

    def earn(self) -> None:
        """A call has come."""
        self._tokens = min(self._saved + self.share, self.most)

    def spend(self) -> bool:
        """Takes the token for one extra attempt, if there is one."""
        # A thousand additions of 0.1 do not make 100.
        if self._saved < 1 - 1e-9:
            return False
        self._tokens = self._saved - 1
        return True

    @property
    def _saved(self) -> float:
        """Full at the start, so that a quiet tool's first failure may be tried again."""
        if self._tokens is None:
            return self.most if self.share else 0.0
        return self._tokens
