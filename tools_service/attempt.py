"""One attempt of a call: a slot, a run under a timeout, and what the table learns from it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

from tools_service.breaker import Breakers
from tools_service.call import Course, Ending, Job
from tools_service.config import ToolsServiceConfig
from tools_service.errors import SlotTimeout, TimedOut, ToolFailed, Transient
from tools_service.metrics import Metrics
from tools_service.policy import Entry
from tools_service.queue import Queue
from tools_service.records import Outcome
from tools_service.running import Running
from tools_service.runtimes import Table
from tools_service.tools.asks import InputNeeded
from tools_service.tools.registry import Context, Output, Registry
from tools_service.trail import current

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What every rung of the executor stands on."""

    config: ToolsServiceConfig
    registry: Registry
    queue: Queue
    table: Table
    metrics: Metrics
    breakers: Breakers
    runs: Running
    clock: Callable[[], float]
    wall: Callable[[], float]


class Attempts:
    """Runs tools. Cancelling stops the tool; who holds the slot gives it back."""

    def __init__(self, means: Means) -> None:
        self._means = means

    @asynccontextmanager
    async def slot(self, job: Job, course: Course) -> AsyncIterator[None]:
        """A slot for as long as the block. Raises Refusal when there will be none in time."""
        means = self._means
        # Before the wait, too: who would be refused after it should not wait.
        means.breakers.check(job.tool.upstream)
        entry = job.entry(means.clock())
        await self._enter(entry)
        try:
            wait_s = means.clock() - entry.arrived
            course.wait_s += wait_s
            means.metrics.wait.labels(job.tool.name).observe(wait_s)
            current().waited(wait_s)
            yield
        finally:
            means.queue.leave(entry)

    @contextmanager
    def free_slot(self, job: Job) -> Iterator[bool]:
        """A slot for as long as the block, if one is free now: whether it was."""
        entry = job.aside(self._means.clock())
        if not self._means.queue.seize(entry):
            yield False
            return
        try:
            yield True
        finally:
            self._means.queue.leave(entry)

    async def run(self, job: Job, course: Course) -> Ending:
        """Runs the tool once, in a slot the caller of this holds. Raises BreakerOpen."""
        running = self._means.metrics.running.labels(job.tool.name)
        with self._means.breakers.begin(job.tool.upstream) as permit, running.track_inprogress():
            course.attempts += 1
            if course.attempts == 1:
                await course.listener.announce(job.started(course.wait_s))
            started = self._means.clock()
            try:
                with (
                    self._means.runs.note(job.key, job.expected),
                    current().attempt(course.attempts) as attempt,
                ):
                    ending = await self._timed(job, course)
                    attempt.ended(ending.outcome)
            except asyncio.CancelledError:
                run_s = self._means.clock() - started
                # Its caller may have had less patience than we; that late it is the upstream's.
                permit.good = False if run_s > job.expected.p99_s else None
                self._observe(job, "cancelled", run_s)
                raise
            permit.good = _answered(ending)
            run_s = self._means.clock() - started
            if ending.outcome != "asked":  # half a call says nothing about a whole one
                self._observe(job, ending.outcome, run_s)
            return replace(ending, run_s=run_s)

    async def _enter(self, entry: Entry) -> None:
        limit_s = self._means.config.queue_s
        try:
            async with asyncio.timeout(limit_s):
                await self._means.queue.enter(entry)
        except TimeoutError:
            raise SlotTimeout(entry.tool, limit_s) from None

    async def _timed(self, job: Job, course: Course) -> Ending:
        call, bound_s = job.call, self._bound_s(job)
        try:
            async with asyncio.timeout(bound_s) as limit:
                group = call.group
                context = Context(group.session, group.id, call.caller, course.tell, call.inputs)
                output = await job.tool.run(call.arguments, context)
                self._means.registry.verify(job.tool, output)
        except InputNeeded as asked:
            return Ending("asked", Output(""), asked=asked)
        except TimedOut as exc:
            return Ending("timeout", Output(f"error: {exc}"), failure=exc)
        except ToolFailed as exc:
            return Ending("error", Output(f"error: {exc}"), failure=exc)
        except TimeoutError as exc:
            if not limit.expired():
                return _broken(job, exc)
            text = f"error: {job.tool.name} did not finish within {bound_s:.1f} s"
            return Ending("timeout", Output(text))
        except Exception as exc:
            return _broken(job, exc)
        except asyncio.CancelledError as exc:
            if _is_stopped():
                raise
            return _broken(job, exc)
        return Ending("ok", output)

    def _bound_s(self, job: Job) -> float:
        """The learned timeout. A caller that leaves earlier cancels."""
        config = self._means.config
        cap_s = config.about(job.tool.name).timeout_s or config.timeout_s
        return job.expected.timeout_s(min(config.timeout_floor_s, cap_s), cap_s)

    def _observe(self, job: Job, outcome: Outcome, run_s: float) -> None:
        metrics, name = self._means.metrics, job.tool.name
        self._means.table.observe(job.key, outcome, run_s, job.expected, self._means.wall())
        metrics.run.labels(name).observe(run_s)
        if outcome == "ok":
            low_s, high_s = job.expected.range_s
            inside = "yes" if low_s <= run_s <= high_s else "no"
            metrics.inside.labels(name, inside).inc()
            metrics.inside_share.labels(name).set(self._means.table.calibration(name) or 0.0)
            metrics.ratio.labels(name).observe(run_s / job.expected.mean_s)


def _is_stopped() -> bool:
    """Somebody wants this to end; a CancelledError without that is a tool's own failure."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _broken(job: Job, exc: BaseException) -> Ending:
    # A bug in a tool. Its text may hold anything, so the model is told the kind only.
    logger.error("tool %s raised", job.tool.name, exc_info=exc)
    text = f"error: {job.tool.name} failed unexpectedly ({type(exc).__name__})"
    return Ending("error", Output(text), failure=exc)


def _answered(ending: Ending) -> bool | None:
    """Whether the upstream did its part; None when a bug of the tool's hides it."""
    match ending.failure:
        case Transient():
            return False
        case ToolFailed():
            return True
        case None:
            return ending.outcome in ("ok", "asked")
        case _:
            return None
