"""A second attempt beside a first one that takes unusually long: the quicker answer counts.

Only for tools that read the open world: there the same call again may meet a quicker machine, and
asking twice changes nothing (Dean, Barroso: The Tail at Scale). It starts at the table's p95, so
about every twentieth call has one; the budget keeps it at that when a whole upstream is slow. It
never waits for a slot: in a busy service, extra work makes everybody's tail longer.
"""

import asyncio

from tools_service.attempt import Attempts, Means
from tools_service.budget import Budget
from tools_service.call import Course, Ending, Job
from tools_service.errors import Transient

_Task = asyncio.Task[Ending | Exception] | asyncio.Task[Ending | Exception | None]


class Hedging:
    """One slot and, where it helps, a second one."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._attempts = Attempts(means)
        self._budgets: dict[str, Budget] = {}

    async def run(self, job: Job, course: Course) -> Ending:
        """Waits for a slot, runs, answers. Raises Refusal when it did not come to that."""
        async with self._attempts.slot(job, course):
            hints = job.tool.annotations
            if not (hints.read_only and hints.open_world and self._means.config.hedge.share):
                return await self._attempts.run(job, course)
            self._budget(job).earn()
            return _told(await self._race(job, course))

    async def _race(self, job: Job, course: Course) -> _Task:
        """The attempt that counts; both have ended."""
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(self._attempt(job, course))
            await asyncio.wait([first], timeout=job.expected.p95_s)
            if first.done():
                return first
            second = tasks.create_task(self._beside(job, course))
            winner: _Task = first
            hedges = course.hedges
            try:
                winner = await _winner(first, second)
            finally:
                if course.hedges > hedges:
                    end = "won" if winner is second else "lost"
                    self._means.metrics.hedges.labels(job.tool.name, end).inc()
            loser = first if winner is second else second
            loser.cancel()
            return winner

    async def _attempt(self, job: Job, course: Course) -> Ending | Exception:
        # As a value: an exception would end the other attempt.
        try:
            return await self._attempts.run(job, course)
        except Exception as exc:
            return exc

    async def _beside(self, job: Job, course: Course) -> Ending | Exception | None:
        """The second attempt; None when there is no slot free or no budget left for it."""
        with self._attempts.free_slot(job) as free:
            if not free or not self._budget(job).spend():
                return None
            course.hedges += 1
            return await self._attempt(job, course)

    def _budget(self, job: Job) -> Budget:
        budget = self._budgets.get(job.tool.name)
        if budget is None:
            budget = self._budgets[job.tool.name] = Budget(self._means.config.hedge.share)
        return budget


async def _winner(first: _Task, second: _Task) -> _Task:
    """The first of them with an answer that counts; of two failures, that of the first."""
    pending = {first, second}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in (first, second):
            if task in done and _counts(task.result()):
                return task
    return first


def _counts(result: Ending | Exception | None) -> bool:
    """It is no failure that the other attempt might not have."""
    if not isinstance(result, Ending):
        return False
    return result.outcome != "timeout" and not isinstance(result.failure, Transient)


def _told(task: _Task) -> Ending:
    result = task.result()
    if isinstance(result, Exception):
        raise result
    assert result is not None  # only a second attempt is left out, and then it has not won
    return result
