"""One request with server-side tools: generate, run the tools it calls, generate again."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from engine.protocol import Generator
from engine.types import (
    Call,
    ChoiceDone,
    Delta,
    Event,
    Finished,
    Started,
    ToolCall,
    Usage,
)
from gateway.bounds import Bounds
from gateway.config import ToolsConfig
from gateway.errors import ToolsDown
from gateway.events import (
    LoopReport,
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    ToolGroup,
    ToolSpec,
    TurnEvent,
)
from gateway.history import Hidden, History, Message
from gateway.metrics import Metrics
from gateway.sessions import Phase, Session
from gateway.toolbox import CallRunner, definitions, refusal
from gateway.turn import Turn
from gateway.wire import ApiRequest

CHOOSES_BY_ITSELF = (None, "auto", "none")

Tasks: TypeAlias = dict[str, asyncio.Task[ToolsDown | None]]


class Placed(Generator, Protocol):
    """Generates somewhere, and wants to know what the session does between its turns."""

    def offer(self, tools: Collection[str]) -> None:
        """A turn that calls one of these goes on without its client."""

    def away(self, expected_s: tuple[float, float]) -> None:
        """A tool has begun that takes about so long."""

    def weigh(self) -> float:
        """What a tool call of the session weighs against others in the queue."""


@dataclass(frozen=True, slots=True)
class LoopContext:
    """What all loops of a gateway share."""

    config: ToolsConfig
    runner: CallRunner
    history: History
    metrics: Metrics
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Job:
    """One request with server-side tools; `after` is the last message the client sent."""

    engine: Placed
    request: ApiRequest
    session: Session
    answer_id: str
    after: object


class ToolLoop:
    """The state of one request with server-side tools."""

    def __init__(
        self, context: LoopContext, job: Job, offered: Mapping[str, ToolSpec] | None
    ) -> None:
        """`offered` are the tools by name; None when the tools service is down."""
        self._context = context
        self._job = job
        self._offered = offered or {}
        self._tools_missing = offered is None
        job.engine.offer(self._offered)
        request = job.request
        self._body = dict(request.body)
        if tools := definitions(self._offered, request.body.get("tools")):
            self._body["tools"] = tools
        elif self._tools_missing:
            self._body.pop("tool_choice", None)  # engines refuse it without tools
        self._messages: list[object] = list(request.body["messages"])
        self._unseen: list[Message] = []
        self._bounds = Bounds(context.config, request, context.clock)
        self._usage = Usage(0, 0)
        self._started = False
        # Bounded by what a bounded number of calls can say; running calls never wait for a client.
        self._news: deque[ServerCallStarted | ServerCallDone] = deque()
        self._arrived = asyncio.Event()

    async def run(self) -> AsyncGenerator[TurnEvent, None]:
        """The events of the whole request. Raises ToolsDown and EngineError."""
        # A child never raises (a broken service is its result), so the group never cancels this
        # generator while it is suspended in its consumer; closing it cancels the children.
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    turn, tasks = Turn(self._offered), Tasks()
                    async with aclosing(self._generate(turn, tasks, group)) as events:
                        async for event in events:
                            yield event
                    async for event in self._results(turn, tasks):
                        yield event
                    _raise_broken(tasks)
                    if await self._is_last(turn):
                        break
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # ours, or GeneratorExit: the only one there is
        if turn.done is not None:
            yield turn.done
        bounds = self._bounds
        yield LoopReport(bounds.turns, bounds.calls, bounds.stopped_by, self._tools_missing)
        yield Finished(self._usage, turn.finished.extra if turn.finished is not None else None)

    async def _generate(
        self, turn: Turn, tasks: Tasks, group: asyncio.TaskGroup
    ) -> AsyncGenerator[TurnEvent, None]:
        body = self._next_body()
        self._job.session.phase = Phase.GENERATING
        group_id = secrets.token_hex(8)
        number, turn_id = self._bounds.turns, self._job.answer_id
        if number > 1:
            turn_id = f"{turn_id}-{number}"
        # Streamed in any case: a call starts while the model still writes the next one.
        call = Call(turn_id, "chat", body, True, self._job.session.alias)
        generating = self._job.engine.generate(call)
        self._context.metrics.turns.labels(self._job.engine.name).inc()
        async with aclosing(generating) as events:
            while (event := await self._next(events, turn)) is not None:
                if isinstance(event, ToolCall) and event.name in self._offered:
                    turn.calls.append(event)
                    self._dispatch(event, group_id, tasks, group)
                    yield ServerCall(event.id, event.name, event.arguments)
                elif (shown := turn.shown(event)) is not None and self._is_news(shown):
                    yield shown
                while self._news:
                    yield turn.told(self._news.popleft())
                if isinstance(event, Delta) and self._bounds.cuts(event.tokens):
                    turn.cut(event.tokens)
                    break
        self._add_usage(turn)

    def _is_news(self, event: Event) -> bool:
        """Whether the client is to hear it: that an answer has started it hears once."""
        first = not (isinstance(event, Started) and self._started)
        self._started = self._started or isinstance(event, Started)
        return first

    async def _next(self, events: AsyncGenerator[Event, None], turn: Turn) -> Event | None:
        """The engine's next event; None at the end, which is also when the time is up."""
        try:
            async with asyncio.timeout(self._bounds.left_s):
                return await anext(events)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            self._bounds.time_is_up()
            turn.cut()
            return None

    def _next_body(self) -> dict[str, Any]:
        """What the engine is asked in the turn that begins."""
        may_call = self._bounds.begin_turn()
        body = {**self._body, "messages": self._messages}
        if self._bounds.turns > 1 and body.get("tool_choice") not in CHOOSES_BY_ITSELF:
            # A forced call was made in the first turn; forced again, the loop would never answer.
            body["tool_choice"] = "auto"
        if not may_call and "tools" in body:
            body["tool_choice"] = "none"
        if (left := self._bounds.asked_tokens_left) is not None:
            body.pop("max_tokens", None)
            body["max_completion_tokens"] = left
        return body

    def _dispatch(
        self, call: ToolCall, group_id: str, tasks: Tasks, group: asyncio.TaskGroup
    ) -> None:
        if not self._bounds.take_call():
            reason = f"the limit of {self._bounds.max_calls} tool calls is reached"
            outcome = refusal(reason, "refused", 0.0)
            self._hear(ServerCallDone(call.id, call.name, call.arguments, outcome))
            return
        self._job.session.phase = Phase.IN_TOOL
        left_s = self._bounds.left_s
        # How many calls the turn will have is not known while it is still being written.
        calls = ToolGroup(
            group_id, size=len(tasks) + 1, deadline_s=left_s, weight=self._job.engine.weigh()
        )
        timeout_s = min(self._context.config.call_timeout_s, left_s)
        work = self._context.runner.run(call, self._job.session, calls, timeout_s, self._hear)
        task = tasks[call.id] = group.create_task(work, name=f"tool {call.name}")
        task.add_done_callback(lambda _: self._arrived.set())

    def _hear(self, event: ServerCallStarted | ServerCallDone) -> None:
        if isinstance(event, ServerCallStarted):
            self._job.engine.away(event.started.expected_s)
        self._news.append(event)
        self._arrived.set()

    async def _results(self, turn: Turn, tasks: Tasks) -> AsyncGenerator[TurnEvent, None]:
        """The news of the calls that still run, until the last has ended."""
        began_s = self._context.clock()
        while True:
            while self._news:
                yield turn.told(self._news.popleft())
            if all(task.done() for task in tasks.values()):
                break
            self._arrived.clear()
            await self._arrived.wait()
        if tasks:
            self._context.metrics.tool_wait.observe(self._context.clock() - began_s)

    async def _is_last(self, turn: Turn) -> bool:
        """Whether the request ends with this turn; if not, the conversation grows by it."""
        if turn.theirs:
            await self._hide(turn)
            return True
        if turn.is_cut or not turn.results:
            return True
        grown = [turn.message(), *(turn.results[call.id] for call in turn.calls)]
        self._messages += grown
        self._unseen += grown
        if not self._bounds.forbids_another():
            return False
        turn.done = ChoiceDone(0, "length")
        return True

    async def _hide(self, turn: Turn) -> None:
        theirs = [call.id for call in turn.calls if call.id not in turn.results]
        if not theirs or not (turn.results or self._unseen):
            return
        order = tuple(call.id for call in turn.calls)
        hidden = Hidden(tuple(self._unseen), turn.message(), order, turn.results)
        await self._context.history.hide(
            self._job.session.tenant, theirs, hidden, after=self._job.after
        )

    def _add_usage(self, turn: Turn) -> None:
        if turn.finished is None:
            return
        new, total = turn.finished.usage, self._usage
        self._bounds.spend(new.completion_tokens)
        reasoning = None
        if new.reasoning_tokens is not None:
            reasoning = new.reasoning_tokens + (total.reasoning_tokens or 0)
        self._usage = Usage(
            total.prompt_tokens + new.prompt_tokens,
            total.completion_tokens + new.completion_tokens,
            total.cached_tokens + new.cached_tokens,
            reasoning,
        )


def _raise_broken(tasks: Tasks) -> None:
    for task in tasks.values():
        if (broken := task.result()) is not None:
            raise broken
