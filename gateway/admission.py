"""The bounded queue before the engines."""

import asyncio
import math
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

from gateway.config import QueueConfig
from gateway.errors import Overloaded, Stopping

RETRY_MIN_S, RETRY_MAX_S = 1, 59  # AI SDK ignores a Retry-After of 60 s and more
RATE_WEIGHT = 0.1


Rank: TypeAlias = tuple[int, int]
"""Lower goes first."""


@dataclass(slots=True, eq=False)
class _Waiting:
    rank: Rank
    arrived_s: float
    admitted: asyncio.Future[None]


_rank = attrgetter("rank")


class Queue:
    """By rank, then first come, first served; bounded in what runs, what waits and for how long."""

    def __init__(self, config: QueueConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._waiting: list[_Waiting] = []  # in their order
        self._running = 0
        self._aside = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._gap_s: float | None = None
        self._ended_s: float | None = None

    @property
    def running(self) -> int:
        """Requests that are admitted and have not ended."""
        return self._running - self._aside

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting) + self._aside

    @property
    def oldest_s(self) -> float:
        """How long the one that waits longest has waited."""
        now = self._clock()
        return max((now - waiting.arrived_s for waiting in self._waiting), default=0.0)

    @property
    def gap_s(self) -> float:
        """Seconds between the ends of two requests while any run; 0 while unknown."""
        return self._gap_s or 0.0

    async def enter(self, deadline_s: float | None, rank: Rank = (0, 0)) -> float:
        """Wait for a place; gives the seconds waited. Whoever has entered must leave.

        Raises:
            Overloaded: too many wait already, or this request has waited too long, or would wait
                longer than its client, who goes in `deadline_s`.
            Stopping: the gateway is shutting down.
        """
        arrived_s = self._clock()
        await self._admitted(arrived_s, deadline_s, rank)
        return self._clock() - arrived_s

    def check(self) -> None:
        """Refuse who could not even wait, before anything is spent on it.

        Raises Overloaded and Stopping.
        """
        if self._closed:
            raise Stopping("the gateway is shutting down; try another one", headers=_RETRY_SOON)
        if not self._has_place and len(self._waiting) >= self._config.waiting:
            raise self.refusal(f"{len(self._waiting)} requests wait already", "queue_full")

    @property
    def _has_place(self) -> bool:
        return self.running < self._config.running and not self._waiting

    async def _admitted(self, arrived_s: float, deadline_s: float | None, rank: Rank) -> None:
        self.check()
        if self._has_place:
            self._start()
            return
        before = bisect_right(self._waiting, rank, key=_rank)
        if deadline_s is not None and self.gap_s * (before + 1) > deadline_s:
            raise self.refusal("its turn would come after its deadline", "deadline")
        wait_s = self._config.wait_s
        is_late = deadline_s is not None and deadline_s < wait_s
        waiting = _Waiting(rank, arrived_s, asyncio.get_running_loop().create_future())
        insort(self._waiting, waiting, key=_rank)
        try:
            async with asyncio.timeout(deadline_s if is_late else wait_s):
                await waiting.admitted
        except BaseException as error:
            self._give_up(waiting)
            if isinstance(error, TimeoutError):
                if is_late:
                    raise self.refusal("its time was up before its turn", "deadline") from None
                said = f"the request has waited {wait_s:g} s"
                raise self.refusal(said, "queue_timeout") from None
            raise

    def _give_up(self, waiting: _Waiting) -> None:
        # Admitted and cancelled in the same turn of the loop: the place must not be lost.
        if waiting.admitted.done() and not waiting.admitted.cancelled():
            if waiting.admitted.exception() is None:
                self.leave(is_served=False)
        elif waiting in self._waiting:
            self._waiting.remove(waiting)

    def _start(self) -> None:
        if not self._running:
            self._ended_s = self._clock()  # while nothing ran, nothing could end
        self._running += 1
        self._idle.clear()

    def leave(self, *, is_served: bool = True) -> None:
        """Give the place to the next; who was not served has no part in the measured rate."""
        self._running -= 1
        if is_served:
            self._measure()
        self._let_in()
        if not self._running:
            self._idle.set()

    def _let_in(self) -> None:
        while self._waiting and self.running < self._config.running:
            waiting = self._waiting.pop(0)
            if not waiting.admitted.done():
                waiting.admitted.set_result(None)
                self._start()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others have the place while its holder waits for something else.

        It is back in any case afterwards: for a while one more may run than places there are.
        """
        self._aside += 1
        self._let_in()
        try:
            yield
        finally:
            self._aside -= 1

    def _measure(self) -> None:
        now = self._clock()
        if self._ended_s is not None:
            gap = now - self._ended_s
            before = gap if self._gap_s is None else self._gap_s
            self._gap_s = before + RATE_WEIGHT * (gap - before)
        self._ended_s = now

    def refusal(self, said: str, code: str, *, ahead: int = 0) -> Overloaded:
        """429 with the time after which, at the measured rate, all that wait have had their turn.

        `ahead` wait elsewhere: they hold no place here.
        """
        wait_s = (len(self._waiting) + ahead + 1) * (self._gap_s or 1.0)
        retry_after_s = min(RETRY_MAX_S, max(RETRY_MIN_S, math.ceil(wait_s)))
        return Overloaded(
            f"the gateway is busy: {said}; try again in {retry_after_s} s",
            retry_after_s=retry_after_s,
            code=code,
        )

    async def close(self, timeout_s: float) -> bool:
        """Refuse newcomers and all that wait; true when the running ended within `timeout_s`."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.pop()
            if not waiting.admitted.done():
                waiting.admitted.set_exception(
                    Stopping("the gateway is shutting down", headers=_RETRY_SOON)
                )
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


_RETRY_SOON = {"retry-after": "1"}
