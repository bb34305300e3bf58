"""The runtime table shared by replicas: what one learns, all expect.

Every replica answers from its own table and waits for nobody. What it learns it also tells Redis,
which keeps the whole table for those who join later and passes the lesson on to the others. A
lesson is numbered by its replica, so that telling it twice counts once.

While Redis is away lessons wait in a bounded queue. A Redis that comes back empty is given the
table of whoever notices first. What is lost, then: lessons beyond the queue, and those that Redis
took with it before the others had read them; the replica that made them still knows them.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

import msgspec

from tools_service import redis_scripts as scripts
from tools_service.config import RedisConfig
from tools_service.errors import BadTable, StoreDown
from tools_service.metrics import Metrics
from tools_service.records import Lesson
from tools_service.redis_link import Link, Script, Words, opened
from tools_service.redis_rows import Joined, Keys, fields, learned, saved, suffixes
from tools_service.runtimes import Table

logger = logging.getLogger(__name__)

_TTL_S = 7 * 24 * 3600
_BATCH = 64
_HEARD = 100  # so that applying them holds the event loop for a few milliseconds only


class Emptied(StoreDown):
    """Redis has lost its data since we joined."""


class SharedTable:
    """One per process: `run` it beside the service; `note` is for `Table.told`."""

    def __init__(self, config: RedisConfig, table: Table, metrics: Metrics) -> None:
        self._config = config
        self._table = table
        self._metrics = metrics
        self._keys = Keys(config.prefix)
        self._replica = uuid.uuid4().hex
        self._pending: deque[tuple[int, Lesson]] = deque()
        self._noted = 0
        self._more = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._born = ""
        self._after = "0-0"
        metrics.watch_shared(pending=lambda: len(self._pending))

    def note(self, lesson: Lesson) -> None:
        """Takes a lesson to tell. Never waits: when too many wait already, the oldest goes."""
        if len(self._pending) >= self._config.pending:
            self._pending.popleft()
            self._metrics.lessons.labels("lost").inc()
        self._noted += 1
        self._pending.append((self._noted, lesson))
        self._told.clear()
        self._more.set()

    async def flush(self, timeout_s: float) -> None:
        """Waits until everything is told, but not for long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._told.wait()
        except TimeoutError:
            logger.warning("%d lessons were not told to redis", len(self._pending))

    async def run(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Tells and listens until cancelled, however often Redis goes."""
        missed = False
        async with opened(self._config) as link:
            while True:
                try:
                    await self._join(link)
                    missed = False
                    await self._share(link)
                except* Emptied:
                    logger.warning("redis has lost the runtime table; it is put back")
                except* StoreDown as group:
                    if not missed:
                        logger.warning("redis is away, going on alone: %s", _first(group))
                    missed = True
                self._metrics.shared.set(0)
                await pause(self._config.retry_s if missed else 0)

    async def _share(self, link: Link) -> None:
        self._metrics.shared.set(1)
        logger.info("runtime table shared through redis, %d shapes known", len(self._table))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell(link))
            tasks.create_task(self._listen(link))

    async def _join(self, link: Link) -> None:
        """Finds the shared table, or makes it of ours. Ours gives way when we have just come."""
        keys = self._keys
        script = Script(scripts.JOIN, [keys.born, keys.rows, keys.lessons], [keys.row("")])
        while not (answer := await link.run(script)):
            await self._seed(link)
        joined = Joined.read(answer)
        if not self._born:
            self._adopt(joined)
            self._after = joined.last
        self._born = joined.born

    def _adopt(self, joined: Joined) -> None:
        try:
            self._table.replace(saved(joined.rows))
        except BadTable as exc:
            logger.warning("the runtime table in redis is unreadable, keeping ours: %s", exc)
            return
        for _, lesson in self._pending:
            self._table.learn(lesson)

    async def _seed(self, link: Link) -> None:
        """Our table holds what waits to be told, too: the others are told, but Redis is not."""
        keys, mine, last = self._keys, uuid.uuid4().hex, self._noted
        waiting = [self._written(lesson) for _, lesson in self._pending]
        rows = _json(fields(self._table.copy()))
        lessons = _json([text.decode() for text in waiting])
        most = self._config.stream
        arguments: Words = [mine, keys.row(""), _TTL_S, rows, lessons, last, most]
        names = [keys.born, keys.rows, keys.lessons, keys.heard(self._replica)]
        answer = await link.run(Script(scripts.SEED, names, arguments))
        if answer == mine.encode():
            self._forget(last)

    async def _tell(self, link: Link) -> None:
        while True:
            while batch := list(islice(self._pending, _BATCH)):
                answers = await link.run_all([self._script(*numbered) for numbered in batch])
                if -1 in answers:
                    raise Emptied
                self._forget(batch[-1][0])
                self._metrics.lessons.labels("told").inc(len(batch))
            self._more.clear()
            await self._more.wait()

    async def _listen(self, link: Link) -> None:
        wait_s = self._config.timeout_s / 2
        while True:
            found = await link.read(self._keys.lessons, self._after, count=_HEARD, wait_s=wait_s)
            for number, data in found:
                self._after = number
                self._hear(data)

    def _hear(self, data: bytes) -> None:
        try:
            replica, lesson = msgspec.json.decode(data, type=tuple[str, Lesson])
        except msgspec.DecodeError as exc:
            logger.warning("a lesson in redis is unreadable: %s", exc)
            return
        if replica != self._replica:
            self._table.learn(lesson)
            self._metrics.lessons.labels("heard").inc()

    def _script(self, number: int, lesson: Lesson) -> Script:
        keys, rows = self._keys, suffixes(lesson)
        names = [keys.born, keys.heard(self._replica), keys.rows, keys.lessons]
        most = self._table.tools * (self._table.shapes_per_tool + 1)
        arguments = [self._born, number, self._written(lesson), *learned(lesson)]
        arguments += [_TTL_S, most, self._config.stream, *rows]
        return Script(scripts.LEARN, [*names, *map(keys.row, rows)], arguments)

    def _written(self, lesson: Lesson) -> bytes:
        return msgspec.json.encode((self._replica, lesson))

    def _forget(self, last: int) -> None:
        """Those up to `last` wait no more."""
        while self._pending and self._pending[0][0] <= last:
            self._pending.popleft()
        if not self._pending:
            self._told.set()


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
