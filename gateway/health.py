"""Whether an engine is fit to be asked, by how its requests ended. Pure; clocks are passed in."""

from gateway.config import FailuresConfig


class Health:
    """One engine's. Failures take it out of the routing, back-pressure never does."""

    def __init__(self, config: FailuresConfig) -> None:
        self._config = config
        self._failures = 0
        self._pressed_until_s = float("-inf")
        self.is_ejected = False
        self.probe_after_s = config.probe_s
        """How long to wait before an ejected engine is asked for a token."""

    def succeed(self) -> None:
        """A request or a probe has ended well: the engine is back, whatever was before."""
        self._failures = 0
        self.is_ejected = False
        self.probe_after_s = self._config.probe_s

    def fail(self) -> bool:
        """A request has failed by the engine's fault; true when that ejects it."""
        self._failures += 1
        if self.is_ejected or self._failures < self._config.in_a_row:
            return False
        self.is_ejected = True
        return True

    def eject(self) -> None:
        """Out of the routing until it has answered a token."""
        self.is_ejected = True

    def fail_probe(self) -> None:
        """It does not answer yet: the next wait is twice as long, within the bound."""
        self.probe_after_s = min(self._config.probe_max_s, 2 * self.probe_after_s)

    def press(self, now_s: float, retry_after_s: float) -> None:
        """It has refused for being full: others are asked first for so long.

        It has answered, so the row of failures is broken.
        """
        self._failures = 0
        self._pressed_until_s = now_s + min(retry_after_s, self._config.probe_max_s)

    def is_pressed(self, now_s: float) -> bool:
        """Whether it has just refused for being full."""
        return now_s < self._pressed_until_s
