"""Calls that run on as tasks: begun, looked at, answered, cancelled, and ended exactly once."""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, ErrorData, TextContent

from tools_service.call import Started
from tools_service.config import TasksConfig
from tools_service.ears import Ears
from tools_service.errors import Draining
from tools_service.rounds import Leg, Requests, converse, dumped
from tools_service.task_store import Json, Status, Task, TaskStore
from tools_service.task_watch import Watchers
from tools_service.tools.asks import Inputs, Values
from tools_service.tools.registry import Progress

logger = logging.getLogger(__name__)

_BY_CLIENT = "cancelled by the client"


@dataclass(slots=True)
class _Live:
    """A task that has not ended: what runs it, and what it waits for."""

    task: Task
    running: asyncio.Task[None] | None = None
    asks: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, Values] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    why: str | None = None
    """The reason it is cut off for."""

    def cut(self, why: str) -> None:
        """Ends it, wherever it is; the first reason stands."""
        if self.why is None:
            self.why = why
            if self.running is not None:
                self.running.cancel()

    def check(self) -> None:
        """Raises CancelledError when it was cut off before it ran: asyncio would not run it."""
        if self.why is not None:
            raise asyncio.CancelledError


class Tasks:
    """The tasks of this process: `async with tasks.running(): ...`.

    A task runs through the executor like any call. While it waits for its user it holds no slot.
    """

    def __init__(
        self, config: TasksConfig, store: TaskStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._group: asyncio.TaskGroup | None = None
        self._watchers = Watchers(store)
        self._draining = False

    @property
    def live(self) -> int:
        """Tasks that have not ended."""
        return len(self._live)

    @property
    def watchers(self) -> int:
        """Open streams of changes."""
        return len(self._watchers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tasks can be begun inside the block; those that have not ended with it are cut off."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                for live in list(self._live.values()):
                    live.cut(str(Draining()))

    def drain(self) -> None:
        """Begins no new task, and ends those that wait for their user: no answer can come."""
        self._draining = True
        for live in list(self._live.values()):
            if live.asks:
                live.cut(str(Draining()))

    async def begin(self, owner: str, leg: Leg, inputs: Inputs) -> Task:
        """A task that can be found from now on. Raises Draining, TooManyTasks."""
        if self._group is None or self._draining:
            raise Draining
        now = self._clock()
        task = Task(secrets.token_urlsafe(24), owner, now, now, self._config.ttl_s)
        await self._store.add(task)
        live = self._live[task.id] = _Live(task)
        self._group.create_task(self._run(live, leg, inputs))
        return task

    async def find(self, owner: str, id: str) -> Task:
        """Raises UnknownTask."""
        return await self._store.find(owner, id)

    async def answer(self, owner: str, id: str, answers: Mapping[str, Values]) -> None:
        """Takes answers to what is asked now, and no others. Raises UnknownTask."""
        await self._store.find(owner, id)
        live = self._live.get(id)
        known = live.asks.keys() & answers.keys() if live else set()
        if live is None or not known:
            return
        for key in known:
            live.answers[key] = answers[key]
            del live.asks[key]
        status: Status = "input_required" if live.asks else "working"
        await self._publish(live, replace(live.task, status=status, asks=dict(live.asks)))
        if not live.asks:
            live.answered.set()

    async def cancel(self, owner: str, id: str) -> None:
        """Stops a task; one that has ended stays as it is. Raises UnknownTask."""
        await self._store.find(owner, id)
        live = self._live.get(id)
        if live is not None:
            live.cut(_BY_CLIENT)

    def watch(self, owner: str, ids: Iterable[str]) -> AsyncGenerator[Task, None]:
        """Every task's state as it changes, until all have ended."""
        return self._watchers.watch(owner, ids)

    async def _run(self, live: _Live, leg: Leg, inputs: Inputs) -> None:
        live.running = asyncio.current_task()
        try:
            live.check()
            async with asyncio.timeout(live.task.ttl_s):
                ended = await self._converse(live, leg, inputs)
        except asyncio.CancelledError:
            ended = _cut_off(live.task, live.why)
        except TimeoutError:
            ended = _failed(live.task, "the task did not end within its time to live")
        except MCPError as exc:
            ended = _failed(live.task, exc.message, exc.error)
        except Exception as exc:
            logger.exception("a task broke")
            ended = _failed(live.task, f"the task broke ({type(exc).__name__})")
        del self._live[live.task.id]
        await self._publish(live, replace(ended, asks={}))

    async def _converse(self, live: _Live, leg: Leg, inputs: Inputs) -> Task:
        async def ask(requests: Requests) -> Mapping[str, Values]:
            return await self._ask(live, requests)

        async def note(news: Started | Progress) -> None:
            await self._publish(live, replace(live.task, message=_words(news)))

        result = await converse(leg, inputs, Ears(note, note), ask)
        return replace(live.task, status="completed", message=None, result=self._fitting(result))

    async def _ask(self, live: _Live, requests: Requests) -> Mapping[str, Values]:
        """Waits until the user has answered everything; the keys are new in every round."""
        if self._draining:
            raise MCPError(INTERNAL_ERROR, str(Draining()))
        live.asked += 1
        keys = {f"{key}-{live.asked}": key for key in requests}
        live.asks = {shown: dumped(requests[key]) for shown, key in keys.items()}
        live.answers.clear()
        live.answered.clear()
        asking = replace(live.task, status="input_required", asks=dict(live.asks))
        await self._publish(live, asking)
        await live.answered.wait()
        return {keys[shown]: answer for shown, answer in live.answers.items()}

    async def _publish(self, live: _Live, task: Task) -> None:
        live.task = replace(task, updated=self._clock())
        await self._store.save(live.task)
        self._watchers.notice(task.id)

    def _fitting(self, result: CallToolResult) -> Json:
        whole = dumped(result)
        size = len(json.dumps(whole, separators=(",", ":")).encode())
        if size <= self._config.result_bytes:
            return whole
        text = f"error: the result has {size} bytes, more than a task may keep"
        return dumped(CallToolResult(content=[TextContent(type="text", text=text)], is_error=True))


def _cut_off(task: Task, why: str | None) -> Task:
    if why == _BY_CLIENT:
        return replace(task, status="cancelled", message=why)
    # The client did not want this: it has to learn that it may try again elsewhere.
    return _failed(task, why or str(Draining()))


def _failed(task: Task, message: str, error: ErrorData | None = None) -> Task:
    told = error or ErrorData(code=INTERNAL_ERROR, message=message)
    return replace(task, status="failed", message=message, error=dumped(told))


def _words(news: Started | Progress) -> str:
    if isinstance(news, Started):
        return "started"
    whole = "" if news.total is None else f" of {news.total:g}"
    said = f": {news.message}" if news.message else ""
    return f"{news.done:g}{whole}{said}"
