"""Tasks as records, and where they are kept."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tools_service.errors import TooManyTasks, UnknownTask

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
Json = Mapping[str, object]

# A task that ends in the last moment of its life can still be looked at.
_LINGER_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """What is known of a task. Times are seconds since 1970; JSON is as MCP writes it."""

    id: str
    owner: str
    created: float
    updated: float
    ttl_s: float
    status: Status = "working"
    message: str | None = None
    asks: Json = field(default_factory=dict)
    result: Json | None = None
    error: Json | None = None

    @property
    def ended(self) -> bool:
        """It will not change any more."""
        return self.status in ("completed", "failed", "cancelled")


class TaskStore(Protocol):
    """Keeps tasks until they expire. Each belongs to a caller, and is there for that one only."""

    async def add(self, task: Task) -> None:
        """Keeps a new task; when this returns, it can be found. Raises TooManyTasks."""

    async def find(self, owner: str, id: str) -> Task:
        """Raises UnknownTask."""
        ...

    async def save(self, task: Task) -> None:
        """Puts a later state in the place of the one that is kept."""


class MemoryStore:
    """Tasks of one process, bounded in number. They end with it."""

    def __init__(
        self, *, most: int, per_caller: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._most = most
        self._per_caller = per_caller
        self._clock = clock
        self._tasks: dict[str, Task] = {}
        self._owned: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tasks)

    async def add(self, task: Task) -> None:
        """Nothing is thrown out early for it: a client was promised its task's whole life."""
        self._expire()
        if len(self._tasks) >= self._most:
            raise TooManyTasks(len(self._tasks))
        if self._owned[task.owner] >= self._per_caller:
            raise TooManyTasks(self._owned[task.owner])
        self._tasks[task.id] = task
        self._owned[task.owner] += 1

    async def find(self, owner: str, id: str) -> Task:
        """Raises UnknownTask."""
        self._expire()
        task = self._tasks.get(id)
        if task is None or task.owner != owner:
            raise UnknownTask
        return task

    async def save(self, task: Task) -> None:
        """A task that has expired meanwhile stays away."""
        if task.id in self._tasks:
            self._tasks[task.id] = task

    def _expire(self) -> None:
        now = self._clock()
        for task in [task for task in self._tasks.values() if _expired(task, now)]:
            del self._tasks[task.id]
            self._owned[task.owner] -= 1
            if not self._owned[task.owner]:
                del self._owned[task.owner]


def _expired(task: Task, now: float) -> bool:
    return now >= max(task.created + task.ttl_s, task.updated + _LINGER_S) and task.ended
