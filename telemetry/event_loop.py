"""How late the event loop is: what blocks it holds up every request of the process at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STEP_S = 0.1
WINDOW_S = 15.0
"""Longer than the usual time between two scrapes, so that none misses the worst."""

NAME = "roundhouse_event_loop_lag_seconds"
TEXT = f"How late the event loop woke a sleeper, at worst within the last {WINDOW_S:g} seconds."


class LoopLag(Collector):
    """Sleeps short steps and notes how much longer each took than it should."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._due_s: float | None = None
        # When and how late; what is older than something worse can never be the worst again.
        self._late: deque[tuple[float, float]] = deque()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watches the loop for as long as the block."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self.watch())
            try:
                yield
            finally:
                watching.cancel()

    async def watch(self) -> None:
        """Watches the loop until cancelled."""
        while True:
            self._due_s = self._clock() + STEP_S
            await self._sleep(STEP_S)
            self._note(self._clock())

    def worst_s(self) -> float:
        """The worst of the window; a sleeper that is late just now counts already."""
        now_s = self._clock()
        while self._late and self._late[0][0] < now_s - WINDOW_S:
            self._late.popleft()
        overdue_s = 0.0 if self._due_s is None else now_s - self._due_s
        return max(overdue_s, self._late[0][1] if self._late else 0.0, 0.0)

    def _note(self, now_s: float) -> None:
        assert self._due_s is not None
        late_s = now_s - self._due_s
        while self._late and self._late[-1][1] <= late_s:
            self._late.pop()
        self._late.append((now_s, late_s))
        if self._late[0][0] < now_s - WINDOW_S:
            self._late.popleft()

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [GaugeMetricFamily(NAME, TEXT)]

    def collect(self) -> Iterable[Metric]:
        """The worst, now."""
        return [GaugeMetricFamily(NAME, TEXT, value=self.worst_s())]
