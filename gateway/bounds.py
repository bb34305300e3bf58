"""What one request with server-side tools may use: turns, calls, tokens, time."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.config import ToolsConfig
from gateway.events import StoppedBy
from gateway.wire import ApiRequest


class Bounds:
    """Counts what is used and names the first bound that ended the use of tools."""

    def __init__(
        self, config: ToolsConfig, request: ApiRequest, clock: Callable[[], float]
    ) -> None:
        self._config = config
        self._clock = clock
        self._deadline_s = clock() + config.time_s
        self._tokens_used = 0
        self._asked_tokens = _asked_tokens(request.body)
        self.max_calls = min(config.calls, request.max_tool_calls or config.calls)
        self.turns = 0
        self.calls = 0
        self.stopped_by: StoppedBy | None = None

    @property
    def left_s(self) -> float:
        """Wall time left."""
        return max(0.0, self._deadline_s - self._clock())

    @property
    def asked_tokens_left(self) -> int | None:
        """Tokens left of what the client allows all turns together; None when it set no limit."""
        return None if self._asked_tokens is None else self._asked_tokens - self._tokens_used

    def begin_turn(self) -> bool:
        """Count a generation; false when it must answer without calling tools."""
        self.turns += 1
        if self.turns >= self._config.turns:
            self.stopped_by = "turns"
        elif self.calls >= self.max_calls:
            self.stopped_by = "calls"
        return self.stopped_by is None

    def take_call(self) -> bool:
        """Count a call; false when it may not run."""
        if self.calls >= self.max_calls:
            return False
        self.calls += 1
        return True

    def spend(self, tokens: int) -> None:
        """Count the tokens of a turn that has ended."""
        self._tokens_used += tokens

    def cuts(self, tokens: int) -> bool:
        """Whether a turn that has `tokens` so far must be cut off: the operator's bound."""
        if self._tokens_used + tokens < self._config.tokens:
            return False
        self.stopped_by = "tokens"
        return True

    def time_is_up(self) -> None:
        """Note that the time ended a turn."""
        self.stopped_by = "time"

    def forbids_another(self) -> bool:
        """Whether no turn may follow."""
        left = self.asked_tokens_left
        if left is not None and left <= 0:
            self.stopped_by = "tokens"
        elif not self.left_s:
            self.stopped_by = "time"
        elif self.turns >= self._config.turns:
            self.stopped_by = "turns"
        else:
            return self.stopped_by in ("tokens", "time")
        return True


def _asked_tokens(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool):
            return limit
    return None
