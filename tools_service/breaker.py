"""A circuit breaker: an upstream that keeps failing is left alone, then probed by one call.

    closed ── too many of the last attempts failed ──► open
    open ── `open_s` later ──► half-open: one attempt may run, the others are refused
    half-open ── it succeeded ──► closed
    half-open ── it failed ──► open

A failure is an upstream that was not reached, broke down, asked for fewer calls or took too long.
A tool that says no has answered, which is a success.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from tools_service.errors import BreakerOpen
from tools_service.execution_config import BreakerConfig

_REMEMBERED = 1000


class State(IntEnum):
    """The numbers are those of the metric."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


@dataclass(slots=True)
class Breaker:
    """One upstream's. Times are on any clock that only grows, in seconds."""

    config: BreakerConfig
    _recent: deque[tuple[float, bool]] = field(default_factory=deque)
    _failed: int = 0
    _opened_at: float | None = None
    _probing: bool = False
    _turn: int = 0

    def state(self, now: float) -> State:
        """Closed, open or half-open."""
        if self._opened_at is None:
            return State.CLOSED
        return State.HALF_OPEN if now - self._opened_at >= self.config.open_s else State.OPEN

    def refused_s(self, now: float) -> float | None:
        """How long nobody may start; None when somebody may."""
        if self._opened_at is None:
            return None
        left_s = self.config.open_s - (now - self._opened_at)
        if left_s > 0:
            return left_s
        return 0.0 if self._probing else None

    def begin(self, now: float) -> int:
        """An attempt starts, and is a probe when half-open; hand the number to `end`.

        Only while `refused_s` is None.
        """
        assert self.refused_s(now) is None
        self._probing = self._opened_at is not None
        return self._turn

    def end(self, turn: int, good: bool | None, now: float) -> None:
        """It has ended; None when that says nothing about the upstream.

        What began before the breaker last changed its state is news from another time.
        """
        if turn != self._turn:
            return
        if self._opened_at is None:
            if good is not None:
                self._remember(good, now)
            return
        self._probing = False
        if good is not None:
            self._change(None if good else now)

    def _remember(self, good: bool, now: float) -> None:
        self._recent.append((now, good))
        self._failed += not good
        while len(self._recent) > _REMEMBERED or self._recent[0][0] <= now - self.config.window_s:
            self._failed -= not self._recent.popleft()[1]
        enough = len(self._recent) >= self.config.calls
        if not good and enough and self._failed >= self.config.ratio * len(self._recent):
            self._change(now)

    def _change(self, opened_at: float | None) -> None:
        self._turn += 1
        self._opened_at = opened_at
        self._recent.clear()
        self._failed = 0


@dataclass(slots=True)
class Permit:
    """An attempt that was let through, for as long as the block.

    Inside it `good` is set to how the upstream did; it stays None when nobody can tell.
    """

    breaker: Breaker | None
    turn: int
    clock: Callable[[], float]
    good: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.breaker is not None:
            self.breaker.end(self.turn, self.good, self.clock())


Watch = Callable[[str, Callable[[], float]], None]


class Breakers:
    """One for each upstream there is; tools without one are never refused."""

    def __init__(self, config: BreakerConfig, clock: Callable[[], float], watch: Watch) -> None:
        """`watch` is told the name of each upstream and how to read its state."""
        self._config = config
        self._clock = clock
        self._watch = watch
        self._breakers: dict[str, Breaker] = {}

    def check(self, upstream: str | None) -> None:
        """Raises BreakerOpen."""
        if upstream is None:
            return
        again_s = self._of(upstream).refused_s(self._clock())
        if again_s is not None:
            raise BreakerOpen(upstream, again_s)

    def begin(self, upstream: str | None) -> Permit:
        """An attempt starts. Raises BreakerOpen."""
        if upstream is None:
            return Permit(None, 0, self._clock)
        self.check(upstream)
        breaker = self._of(upstream)
        return Permit(breaker, breaker.begin(self._clock()), self._clock)

    def _of(self, upstream: str) -> Breaker:
        breaker = self._breakers.get(upstream)
        if breaker is None:
            breaker = self._breakers[upstream] = Breaker(self._config)
            self._watch(upstream, lambda: breaker.state(self._clock()))
        return breaker
