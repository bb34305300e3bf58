"""Another attempt after a failure that may pass, for calls that are safe to repeat.

Between two attempts a call holds no slot, and the next one queues anew, behind those that wait: a
pause is idle, and work that has not failed yet goes first. The budget bounds what retries add when
everything fails; without it, an upstream that breaks down would get three times its load.
"""

import asyncio
import random
from collections.abc import Callable

from tools_service.attempt import Means
from tools_service.budget import Budget
from tools_service.call import Course, Ending, Job
from tools_service.errors import RateLimited, Refusal, Transient
from tools_service.execution_config import RetryConfig
from tools_service.hedge import Hedging


def pause_s(
    config: RetryConfig, failure: BaseException | None, attempts: int, chance: float
) -> float | None:
    """How long to wait before the next attempt; None when there should be none.

    `attempts` were made, the last one ended in `failure`; `chance` is drawn from [0, 1). The pause
    is a random share of one that doubles ("full jitter"): callers that failed together come back
    apart. A wait that the other side asks for is kept in full, or not waited for at all.
    """
    if not isinstance(failure, Transient) or attempts >= config.attempts:
        return None
    longest_s = min(config.pause_s * 2.0 ** (attempts - 1), config.longest_pause_s)
    asked_s = failure.retry_after_s if isinstance(failure, RateLimited) else None
    if asked_s is None:
        return chance * longest_s
    return asked_s + chance * config.pause_s if asked_s <= config.longest_pause_s else None


class Retrying:
    """As many attempts as it takes, within reason."""

    def __init__(self, means: Means, chance: Callable[[], float] = random.random) -> None:
        self._means = means
        self._hedging = Hedging(means)
        self._chance = chance
        self._budgets: dict[str, Budget] = {}

    async def run(self, job: Job, course: Course) -> Ending:
        """The last attempt's ending. Raises Refusal when there was none."""
        self._budget(job).earn()
        ending = await self._hedging.run(job, course)
        tried = 1
        while (wait_s := self._next(job, ending, tried)) is not None:
            self._means.metrics.retries.labels(job.tool.name).inc()
            await asyncio.sleep(wait_s)
            try:
                ending = await self._hedging.run(job, course)
            except Refusal:
                # What it failed with says more than why it may not try again.
                return ending
            tried += 1
        return ending

    def _next(self, job: Job, ending: Ending, tried: int) -> float | None:
        hints = job.tool.annotations
        if not (hints.read_only or hints.idempotent):
            return None
        wait_s = pause_s(self._means.config.retry, ending.failure, tried, self._chance())
        left_s = job.left_s(self._means.clock())
        if wait_s is None or (left_s is not None and wait_s + job.expected.p50_s > left_s):
            return None
        return wait_s if self._budget(job).spend() else None

    def _budget(self, job: Job) -> Budget:
        budget = self._budgets.get(job.source)
        if budget is None:
            budget = self._budgets[job.source] = Budget(self._means.config.retry.share)
        return budget
