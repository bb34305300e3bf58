"""How often failed requests may be sent again: a share of all requests. Pure."""


class RetryBudget:
    """Every request earns a part of a retry; a quiet time saves up a burst of them, no more.

    When everything fails, retries of all clients together add no more than that share to the load.
    """

    def __init__(self, ratio: float, burst: int) -> None:
        self._ratio = ratio
        self._burst = float(burst)
        self._saved = float(burst)

    def earn(self) -> None:
        """Count a request."""
        # Without a burst a whole retry must still be saved up somewhere.
        self._saved = min(max(self._burst, 1.0), self._saved + self._ratio)

    def spend(self) -> bool:
        """Take one retry; false when there is none."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
