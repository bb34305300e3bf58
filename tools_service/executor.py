"""The life of one tool call: checked, queued, run under a timeout, measured, answered once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tools_service.config import ToolsServiceConfig
from tools_service.errors import Draining, Refusal, ToolFailed
from tools_service.metrics import Metrics
from tools_service.policy import POLICIES, Entry, Group
from tools_service.queue import Queue
from tools_service.records import Outcome
from tools_service.running import Running
from tools_service.runtimes import Expected, Key, Table
from tools_service.schedule import Schedule
from tools_service.tools import clean
from tools_service.tools.registry import (
    Arguments,
    Context,
    Output,
    Registry,
    Tell,
    Tool,
    untold,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What the caller asks for."""

    tool: str
    arguments: Arguments
    group: Group
    caller: str = ""
    """Whose token it came with; results are never shared between callers."""
    tell: Tell = untold


@dataclass(frozen=True, slots=True)
class Started:
    """The call has left the queue."""

    expected_s: tuple[float, float]
    wait_s: float
    mean_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The one end of a call. `cut_bytes` of the tool's text did not fit and are missing.

    `predicted_wait_s` is why a call was refused: it would have waited longer than its caller.
    """

    text: str
    outcome: str
    structured: Mapping[str, object] | None = None
    shape: str | None = None
    expected: Expected | None = None
    wait_s: float = 0.0
    run_s: float = 0.0
    cut_bytes: int = 0
    predicted_wait_s: float | None = None
    blocks: Sequence[Mapping[str, object]] = ()

    @property
    def failed(self) -> bool:
        """The model asked for something it did not get."""
        return self.outcome != "ok"


@dataclass(frozen=True, slots=True)
class _Job:
    """A call that may run: its tool, its row in the table and its place in the queue."""

    call: Call
    tool: Tool
    key: Key
    expected: Expected
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: Outcome
    output: Output


Announce = Callable[[Started], Awaitable[None]]


class Executor:
    """Runs calls. Cancelling `call` stops the tool and frees its slot."""

    def __init__(
        self,
        config: ToolsServiceConfig,
        registry: Registry,
        table: Table,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._registry = registry
        self._table = table
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._queue = Queue(_schedule(config), waiting=config.waiting)
        self.runs = Running(table, clock)
        """The calls that run just now."""
        self._calls = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        metrics.watch(waiting=lambda: self._queue.waiting, shapes=lambda: len(table))

    @property
    def draining(self) -> bool:
        """No new call is taken."""
        return self._draining

    @property
    def waiting(self) -> int:
        """Calls without a slot."""
        return self._queue.waiting

    @property
    def running(self) -> int:
        """Calls with a slot."""
        return self._queue.running

    async def drain(self, timeout_s: float) -> bool:
        """Takes no new call and waits for the others; False if some still run."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d tool calls still run after %.1f s", self._calls, timeout_s)
        return self._calls == 0

    async def call(self, call: Call, announce: Announce) -> Answer:
        """Runs one call to its one answer. `announce` is awaited when it leaves the queue.

        Raises Draining. Everything a tool or its caller does wrong is an answer.
        """
        if self._draining:
            raise Draining
        self._calls += 1
        self._idle.clear()
        try:
            answer = await self._answer(call, announce)
        except asyncio.CancelledError:
            self._count(call.tool, "cancelled")
            raise
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()
        self._count(call.tool, answer.outcome)
        return answer

    async def _answer(self, call: Call, announce: Announce) -> Answer:
        try:
            job = self._prepare(call)
            await self._enter(job)
        except Refusal as refusal:
            logger.info("tool %s refused: %s", self._label(call.tool), type(refusal).__name__)
            text = f"error: {refusal}"
            return Answer(text, refusal.outcome, predicted_wait_s=refusal.wait_s)
        except TimeoutError:
            wait_s = self._clock() - job.entry.arrived
            text = f"error: no free slot for {call.tool} within {wait_s:.1f} s"
            return self._finish(job, _Ending("timeout", Output(text)), wait_s, 0.0)
        try:
            return await self._perform(job, announce)
        finally:
            self._queue.leave(job.entry)

    def _prepare(self, call: Call) -> _Job:
        tool = self._registry.find(call.tool)
        self._registry.check(tool, call.arguments)
        shape = self._registry.shape(tool, call.arguments)
        key = Key(tool.name, shape, tool.annotations.kind)
        expected = self._table.expected(key)
        entry = Entry(tool.name, self._clock(), expected.mean_s, call.group)
        return _Job(call, tool, key, expected, entry)

    async def _enter(self, job: _Job) -> None:
        """Raises TimeoutError: the wait, too, is bounded, by us and by the caller's deadline."""
        deadline_s = job.call.group.deadline_s or self._config.queue_s
        async with asyncio.timeout(min(deadline_s, self._config.queue_s)):
            await self._queue.enter(job.entry)

    async def _perform(self, job: _Job, announce: Announce) -> Answer:
        wait_s = self._clock() - job.entry.arrived
        with self._metrics.running.labels(job.tool.name).track_inprogress():
            guess = job.expected
            await announce(Started(guess.range_s, wait_s, guess.mean_s, guess.p95_s))
            started = self._clock()
            try:
                with self.runs.note(job.key, guess):
                    ending = await self._run(job, self._bound_s(job, wait_s))
            except asyncio.CancelledError:
                self._observe(job, "cancelled", self._clock() - started)
                raise
            run_s = self._clock() - started
        self._observe(job, ending.outcome, run_s)
        return self._finish(job, ending, wait_s, run_s)

    def _bound_s(self, job: _Job, wait_s: float) -> float:
        """The learned timeout, or less when the caller will be gone before."""
        cap_s = self._config.about(job.tool.name).timeout_s or self._config.timeout_s
        learned_s = job.expected.timeout_s(min(self._config.timeout_floor_s, cap_s), cap_s)
        deadline_s = job.call.group.deadline_s
        return learned_s if deadline_s is None else min(learned_s, max(deadline_s - wait_s, 0.0))

    async def _run(self, job: _Job, bound_s: float) -> _Ending:
        group = job.call.group
        try:
            async with asyncio.timeout(bound_s) as limit:
                context = Context(group.session, group.id, job.call.caller, job.call.tell)
                output = await job.tool.run(job.call.arguments, context)
        except ToolFailed as exc:
            return _Ending("error", Output(f"error: {exc}"))
        except TimeoutError as exc:
            if limit.expired():
                text = f"error: {job.tool.name} did not finish within {bound_s:.1f} s"
                return _Ending("timeout", Output(text))
            return self._broken(job, exc)
        except Exception as exc:
            return self._broken(job, exc)
        return _Ending("ok", output)

    def _broken(self, job: _Job, exc: Exception) -> _Ending:
        # A bug in a tool. Its text may hold anything, so the model is told the kind only.
        logger.error("tool %s raised", job.tool.name, exc_info=exc)
        text = f"error: {job.tool.name} failed unexpectedly ({type(exc).__name__})"
        return _Ending("error", Output(text))

    def _finish(self, job: _Job, ending: _Ending, wait_s: float, run_s: float) -> Answer:
        output, limit = ending.output, self._config.result_bytes
        if ending.outcome == "ok" and job.tool.annotations.open_world:
            output, cut_bytes = _from_outside(job.tool.name, output, limit)
        else:
            text, cut_bytes = shorten(output.text, limit)
            output = Output(text, output.structured)
        self._metrics.wait.labels(job.tool.name).observe(wait_s)
        return Answer(
            text=output.text,
            outcome=ending.outcome,
            structured=None if cut_bytes else output.structured,
            shape=job.key.shape,
            expected=job.expected,
            wait_s=wait_s,
            run_s=run_s,
            cut_bytes=cut_bytes,
            blocks=ending.output.blocks,
        )

    def _observe(self, job: _Job, outcome: Outcome, run_s: float) -> None:
        self._table.observe(job.key, outcome, run_s, job.expected, self._wall())
        name = job.tool.name
        self._metrics.run.labels(name).observe(run_s)
        if outcome == "ok":
            low_s, high_s = job.expected.range_s
            inside = "yes" if low_s <= run_s <= high_s else "no"
            self._metrics.inside.labels(name, inside).inc()
            self._metrics.inside_share.labels(name).set(self._table.calibration(name) or 0.0)
            self._metrics.ratio.labels(name).observe(run_s / job.expected.mean_s)
        logger.info("tool %s %s after %.3f s", name, outcome, run_s)

    def _count(self, name: str, outcome: str) -> None:
        self._metrics.calls.labels(self._label(name), outcome).inc()

    def _label(self, name: str) -> str:
        return name if name in self._registry else "unknown"


def _from_outside(tool: str, output: Output, limit: int) -> tuple[Output, int]:
    """(the result of an open-world tool: cleaned, cut and marked as not ours, the bytes it lacks).

    Here, so that no tool can forget it; the end mark is never what is cut.
    """
    origin = f"{tool}: {output.origin}" if output.origin else tool
    text, cut_bytes = shorten(clean.strip(output.text), limit - clean.overhead(origin))
    structured = clean.scrub(output.structured)
    return (
        Output(clean.enclose(text, origin), structured if isinstance(structured, dict) else None),
        cut_bytes,
    )


def _schedule(config: ToolsServiceConfig) -> Schedule:
    return Schedule(
        slots=config.slots,
        per_tool={name: tool.slots for name, tool in config.per_tool.items() if tool.slots},
        policy=POLICIES[config.policy],
        reserve=config.reserve,
    )


def shorten(text: str, limit: int) -> tuple[str, int]:
    """(a text of at most `limit` bytes that says so when it was cut, the bytes it lacks)."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode(), 0
    note = f"\n[truncated: the result has {len(data)} bytes]"
    kept = data[: limit - len(note)].decode(errors="ignore")
    return kept + note, len(data) - len(kept.encode())
