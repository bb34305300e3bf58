"""The life of one tool call, as a ladder: each rung adds one concern and ends what it began.

executor   checks, the caller's deadline, the caps on results, one outcome, one record
sharing    results kept for a while; identical calls at the same time are one run (flight)
retry      another attempt after a failure that may pass
hedge      a second attempt beside a slow one
attempt    a slot, the breaker, a timeout, the table
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from telemetry.logs import Fact, tell
from telemetry.redact import excerpt
from tools_service.attempt import Means
from tools_service.audit import Audit, Record, digest
from tools_service.breaker import Breakers
from tools_service.call import Announce, Answer, Call, Course, Job, Listener, Waiter, unannounced
from tools_service.caps import Caps, capped, plain
from tools_service.config import ToolsServiceConfig
from tools_service.errors import Draining, Refusal
from tools_service.metrics import Metrics
from tools_service.policy import POLICIES
from tools_service.queue import Queue
from tools_service.retry import Retrying
from tools_service.running import Running
from tools_service.runtimes import Key, Table
from tools_service.schedule import Schedule
from tools_service.sharing import Sharing
from tools_service.tools.registry import Registry, canonical
from tools_service.trail import current

logger = logging.getLogger(__name__)

_STOPPED = (asyncio.CancelledError, Draining)


class Executor:
    """Runs calls while it is `opened`. Cancelling `call` stops the tool and frees its slot."""

    def __init__(
        self,
        config: ToolsServiceConfig,
        registry: Registry,
        table: Table,
        metrics: Metrics,
        *,
        audit: Audit,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._registry = registry
        self._metrics = metrics
        self._audit = audit
        self._clock = clock
        self._wall = wall
        self._table = table
        self._queue = Queue(_schedule(config), waiting=config.waiting)
        self.runs = Running(table, clock)
        """The calls that run just now."""
        breakers = Breakers(config.breaker, clock, metrics.watch_breaker)
        self._retrying = Retrying(
            Means(config, registry, self._queue, table, metrics, breakers, self.runs, clock, wall)
        )
        self._sharing = Sharing(config, metrics, clock, self._run)
        self._caps = Caps(config.result_bytes, config.wire_bytes)
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
    def calls(self) -> int:
        """Calls without an answer; several may share a slot."""
        return self._calls

    @property
    def waiting(self) -> int:
        """Calls without a slot."""
        return self._queue.waiting

    @property
    def running(self) -> int:
        """Calls with a slot."""
        return self._queue.running

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Calls may come for as long as the block; its end stops the runs and writes the audit."""
        async with self._audit.opened(), self._sharing.opened():
            yield

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
        came, waiter = self._clock(), Waiter(call, announce, canonical(call.arguments))
        self._calls += 1
        self._idle.clear()
        try:
            answer = await self._answer(waiter)
        except BaseException as exc:
            # Stopped from below or above; or a bug, ours or that of who is told of the start.
            outcome = "cancelled" if isinstance(exc, _STOPPED) else "error"
            self._end(waiter, waiter.ended(outcome, "", self._clock() - came))
            raise
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()
        self._end(waiter, answer)
        return answer

    def refuse(self, call: Call, refusal: Refusal) -> Answer:
        """The answer to a call that gets no further than this; it ends like any other."""
        answer = self._refused(call.tool, refusal)
        self._end(Waiter(call, unannounced, canonical(call.arguments)), answer)
        return answer

    async def _answer(self, waiter: Waiter) -> Answer:
        call, came = waiter.call, self._clock()
        try:
            job = waiter.job = self._prepare(call, waiter.canonical)
        except Refusal as refusal:
            return self._refused(call.tool, refusal)
        try:
            async with asyncio.timeout(call.group.deadline_s) as limit:
                return await self._sharing.answer(job, waiter)
        except TimeoutError:
            if not limit.expired():
                raise
        took_s = self._clock() - came
        what = f"{call.tool} did not finish" if waiter.started else f"no free slot for {call.tool}"
        return waiter.ended("timeout", f"error: {what} within {took_s:.1f} s", took_s)

    def _prepare(self, call: Call, canonical: bytes) -> Job:
        tool = self._registry.find(call.tool, call.allowed)
        self._registry.check(tool, call.arguments)
        shape = self._registry.shape(tool, call.arguments)
        key = Key(tool.name, shape, tool.annotations.kind)
        deadline_s = call.group.deadline_s
        deadline = None if deadline_s is None else self._clock() + deadline_s
        return Job(call, tool, key, self._table.expected(key), canonical, deadline)

    async def _run(self, job: Job, listener: Listener) -> Answer:
        course = Course(listener, self._clock)
        try:
            ending = await self._retrying.run(job, course)
        except Refusal as refusal:
            refused = self._refused(job.tool.name, refusal)
            return replace(
                refused, shape=job.key.shape, expected=job.expected, wait_s=course.wait_s
            )
        if ending.outcome == "ok":
            out = capped(job.tool, ending.output, self._caps)
        else:
            out = plain(ending.output.text, self._caps)
        return Answer(
            text=out.output.text,
            outcome=ending.outcome,
            structured=out.output.structured,
            shape=job.key.shape,
            expected=job.expected,
            wait_s=course.wait_s,
            run_s=ending.run_s,
            cut_bytes=out.cut_bytes,
            blocks=out.output.blocks,
            attempts=course.attempts,
            hedged=course.hedges > 0,
            size=out.size,
            asked=ending.asked,
        )

    def _refused(self, name: str, refusal: Refusal) -> Answer:
        text = f"error: {refusal}"
        return Answer(
            text,
            refusal.outcome,
            predicted_wait_s=refusal.wait_s,
            size=len(text.encode()),
            refusal=type(refusal).__name__,
        )

    def _end(self, waiter: Waiter, answer: Answer) -> None:
        """The one outcome of a call, counted and written down."""
        call = waiter.call
        name = self._label(call.tool)
        self._metrics.calls.labels(name, answer.outcome).inc()
        current().ended(
            answer.outcome, attempts=answer.attempts, shared=answer.shared, cached=answer.cached
        )
        facts = line(name, call, answer, bodies=self._config.log.bodies)
        tell(logger, f"call {answer.outcome}", facts)
        if not self._audit.kept:
            return
        self._audit.note(
            Record(
                time=self._wall(),
                tool=name,
                caller=digest(call.caller),
                session=call.group.session is not None,
                group=call.group.id is not None,
                shape=answer.shape,
                outcome=answer.outcome,
                bytes_in=len(waiter.canonical),
                bytes_out=answer.size,
                wait_s=answer.wait_s,
                run_s=answer.run_s,
                attempts=answer.attempts,
                hedged=answer.hedged,
                shared=answer.shared,
                cached=answer.cached,
                truncated=answer.cut_bytes > 0,
            )
        )

    def _label(self, name: str) -> str:
        return name if name in self._registry else "unknown"


def line(name: str, call: Call, answer: Answer, *, bodies: bool) -> dict[str, Fact]:
    """What the log says of a call."""
    known = answer.expected
    facts: dict[str, Fact] = {
        "tool": name,
        "caller": digest(call.caller),
        "session": call.group.session,
        "group": call.group.id,
        "outcome": answer.outcome,
        "refusal": answer.refusal,
        "wait_s": round(answer.wait_s, 4),
        "run_s": round(answer.run_s, 4),
        "expected_s": None if known is None else round(known.mean_s, 4),
        "attempts": answer.attempts,
        "hedged": answer.hedged or None,
        "shared": answer.shared or None,
        "cached": answer.cached or None,
        "truncated": answer.cut_bytes > 0 or None,
    }
    if bodies:
        facts["arguments"] = excerpt(canonical(call.arguments).decode())
        facts["result"] = excerpt(answer.text)
    return facts


def _schedule(config: ToolsServiceConfig) -> Schedule:
    return Schedule(
        slots=config.slots,
        per_tool={name: tool.slots for name, tool in config.per_tool.items() if tool.slots},
        policy=POLICIES[config.policy],
        reserve=config.reserve,
        per_upstream={name: up.slots for name, up in config.per_upstream.items() if up.slots},
    )
