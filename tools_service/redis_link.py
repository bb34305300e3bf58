"""The way to Redis: the one place that knows its library and its errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tools_service.config import RedisConfig
from tools_service.errors import StoreDown

Words = Sequence[str | bytes | int | float]


@dataclass(frozen=True, slots=True)
class Script:
    """A step of a script: its Lua, the keys it touches, and its arguments."""

    lua: str
    keys: Sequence[str]
    arguments: Words


class Link:
    """A pool of connections. Everything here raises StoreDown and nothing else."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def run(self, script: Script) -> object:
        """One script, one atomic step."""
        (answer,) = await self.run_all([script])
        return answer

    async def run_all(self, scripts: Sequence[Script]) -> list[object]:
        """Several in their order, in one round trip."""
        with _translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for script in scripts:
                    known = self._client.register_script(script.lua)
                    await known(keys=list(script.keys), args=list(script.arguments), client=pipe)
                return cast("list[object]", await pipe.execute())

    async def read(
        self, stream: str, after: str, *, count: int, wait_s: float
    ) -> list[tuple[str, bytes]]:
        """(id, the one value) of a stream's entries after `after`; waits for the first."""
        with _translated():
            block_ms = max(int(1000 * wait_s), 1)
            found = await self._client.xread({stream: after}, count=count, block=block_ms)
        entries = found.values() if isinstance(found, dict) else [part[1] for part in found or ()]
        flat = [pair for batch in entries for pair in _pairs(batch)]
        return [(number.decode(), next(iter(fields.values()))) for number, fields in flat]

    async def append(self, stream: str, entries: Sequence[bytes], *, most: int) -> None:
        """Adds entries to a stream, which is cut to about its `most` latest."""
        with _translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for entry in entries:
                    pipe.xadd(stream, {b"entry": entry}, maxlen=most, approximate=True)
                await pipe.execute()


def _pairs(batch: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The library nests entries one level deeper in newer protocols than in older ones."""
    pairs = cast("list[object]", batch)
    while pairs and isinstance(pairs[0], list):
        pairs = [pair for part in pairs for pair in cast("list[object]", part)]
    return cast("list[tuple[bytes, dict[bytes, bytes]]]", pairs)


@asynccontextmanager
async def opened(config: RedisConfig) -> AsyncIterator[Link]:
    """A link that connects when it is first used."""
    assert config.url is not None, "nobody asked for Redis"
    client = Redis.from_url(
        config.url,
        password=config.password.get_secret_value() if config.password else None,
        socket_timeout=config.timeout_s,
        socket_connect_timeout=config.timeout_s,
        # Whoever uses the link knows what may be tried again.
        retry=Retry(NoBackoff(), 0),
        client_name="roundhouse-tools",
    )
    try:
        yield Link(client)
    finally:
        await client.aclose()


@contextmanager
def _translated() -> Iterator[None]:
    before = _cancels()
    try:
        yield
    except (RedisError, OSError) as exc:
        # Not its text: it may name the address with what is in it.
        if _cancels() == before:
            raise StoreDown(type(exc).__name__) from exc
    # The library forgets a cancel that meets it while it connects; the task has not.
    if _cancels() > before:
        raise asyncio.CancelledError


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
