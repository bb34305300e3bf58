"""One record for every call: which tool, for whom, how it ended, how large; never a value.

A record never holds up its call: it goes into a bounded queue, and is dropped and counted when that
is full. One task takes what there is and hands it to the sink.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

logger = logging.getLogger(__name__)

_BATCH = 512
_WRITE_S = 5.0


class Record(msgspec.Struct, frozen=True):
    """One line. `caller` is a digest; `time` is wall-clock time, when the call ended."""

    time: float
    tool: str
    caller: str
    session: bool
    group: bool
    shape: str | None
    outcome: str
    bytes_in: int
    bytes_out: int
    wait_s: float
    run_s: float
    attempts: int
    hedged: bool
    shared: bool
    cached: bool
    truncated: bool


class AuditSink(Protocol):
    """Where records go."""

    async def write(self, batch: list[bytes]) -> None:
        """Keeps these records, one JSON object each, in order. Any exception loses the batch."""
        ...


def digest(caller: str) -> str:
    """Tells callers apart without naming them."""
    return hashlib.blake2b(caller.encode(errors="replace"), digest_size=8).hexdigest()


class Audit:
    """The queue in front of a sink; without a sink nothing is kept."""

    def __init__(
        self, sink: AuditSink | None, *, waiting: int, dropped: Callable[[float], None]
    ) -> None:
        """`dropped` is told how many records were lost."""
        self._sink = sink
        self._limit = waiting
        self._dropped = dropped
        self._records: deque[Record] = deque()
        self._news = asyncio.Event()
        self._closed = False

    @property
    def kept(self) -> bool:
        """There is a sink."""
        return self._sink is not None

    def note(self, record: Record) -> None:
        """Takes a record, or drops it."""
        if self._sink is None:
            return
        if len(self._records) >= self._limit:
            self._dropped(1)
            return
        self._records.append(record)
        self._news.set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Writes for as long as the block, and then what is left."""
        if self._sink is None:
            yield
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_writing(self._sink))
            try:
                yield
            finally:
                self._closed = True
                self._news.set()

    async def _keep_writing(self, sink: AuditSink) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._records:
                await self._write(sink)
            if self._closed:
                return

    async def _write(self, sink: AuditSink) -> None:
        records = [self._records.popleft() for _ in range(min(_BATCH, len(self._records)))]
        try:
            async with asyncio.timeout(_WRITE_S):
                await sink.write([msgspec.json.encode(record) for record in records])
        except Exception:
            logger.exception("%d audit records are lost", len(records))
            self._dropped(len(records))
