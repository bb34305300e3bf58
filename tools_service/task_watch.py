"""Who wants to hear of changes to tasks, without asking again and again."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from tools_service.errors import UnknownTask
from tools_service.task_store import Task, TaskStore


@dataclass(eq=False, slots=True)
class _Watcher:
    """Remembers which tasks changed, not how often: however slow it is, it holds little."""

    ids: frozenset[str]
    changed: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Watchers:
    """Open streams of changes."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._watchers: set[_Watcher] = set()

    def __len__(self) -> int:
        return len(self._watchers)

    def notice(self, id: str) -> None:
        """A task has changed."""
        for watcher in self._watchers:
            if id in watcher.ids:
                watcher.changed.add(id)
                watcher.news.set()

    async def watch(self, owner: str, ids: Iterable[str]) -> AsyncGenerator[Task, None]:
        """The tasks as they are, then as they change, until all have ended or expired."""
        open_ids = set(ids)
        watcher = _Watcher(frozenset(open_ids), set(open_ids))
        self._watchers.add(watcher)
        try:
            while open_ids:
                changed, watcher.changed = sorted(watcher.changed), set()
                watcher.news.clear()
                for id in changed:
                    try:
                        task = await self._store.find(owner, id)
                    except UnknownTask:
                        open_ids.discard(id)
                        continue
                    yield task
                    if task.ended:
                        open_ids.discard(id)
                if open_ids and not watcher.changed:
                    await watcher.news.wait()
        finally:
            self._watchers.discard(watcher)
