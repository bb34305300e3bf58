"""The store that several gateways share: Redis, each step one command or one script."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.config import StoreConfig
from gateway.store import TICK_S, Bucket, Lease, StoreDown

# Redis's own clock, so that gateways whose clocks differ agree. A budget that is full again is the
# same as one nobody has heard of, so it goes by itself; one that time does not fill, after a day
# without a request.
_NOW = "local t = redis.call('TIME'); local now = t[1] + t[2] / 1e6\n"
_SPEND = (
    _NOW
    + """
local amount, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'left', 'since')
local left = tonumber(known[1]) or burst
left = math.min(left + (now - (tonumber(known[2]) or now)) * rate, burst)
local missing = math.min(amount, burst) - left
if missing > 0 and ARGV[4] == '0' then return tostring(missing / rate) end
left = math.min(left - amount, burst)
redis.call('HSET', KEYS[1], 'left', tostring(left), 'since', tostring(now))
local full_s = rate > 0 and math.ceil((burst - left) / rate) or 86400
redis.call('EXPIRE', KEYS[1], full_s + 1)
return '0'
"""
)
_ENTER = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return '0' end
local till = now + tonumber(ARGV[3])
if known then till = math.max(till, tonumber(known) + tonumber(ARGV[4])) end
redis.call('ZADD', KEYS[1], string.format('%.17g', till), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[3])) + 1)
return string.format('%.17g', till)
"""
)
_LEAVE = """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known and tonumber(known) == tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
"""


class RedisStore:
    """A store behind a pool of connections, which are made when they are first used."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._spend = client.register_script(_SPEND)
        self._enter = client.register_script(_ENTER)
        self._leave = client.register_script(_LEAVE)

    async def get(self, key: str) -> bytes | None:
        with _translated():
            return cast("bytes | None", await self._client.get(self._key(key)))

    async def put(self, key: str, value: bytes | None, ttl_s: float) -> None:
        with _translated():
            if value is None:
                await self._client.delete(self._key(key))
            else:
                await self._client.set(self._key(key), value, px=max(int(ttl_s * 1000), 1))

    async def spend(self, key: str, amount: float, bucket: Bucket, *, owed: bool) -> float:
        args = [amount, bucket.rate, bucket.burst, int(owed)]
        with _translated():
            return float(await self._spend(keys=[self._key(key)], args=args))

    async def enter(self, key: str, member: str, lease: Lease) -> float:
        args: list[str | float] = [member, lease.most, lease.ttl_s, TICK_S]
        with _translated():
            return float(await self._enter(keys=[self._key(key)], args=args))

    async def leave(self, key: str, member: str, until_s: float) -> None:
        with _translated():
            await self._leave(keys=[self._key(key)], args=[member, until_s])

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _key(self, key: str) -> str:
        return f"{self._prefix}:{key}"


def connect(config: StoreConfig) -> RedisStore:
    """The store at `config.url`, which connects when it is first asked; close it."""
    assert config.url is not None
    client = Redis.from_url(
        config.url,
        password=config.password.get_secret_value() if config.password else None,
        socket_timeout=config.timeout_s,
        socket_connect_timeout=config.timeout_s,
        retry=Retry(NoBackoff(), 0),  # who asks has an answer of its own
        # A name, and the third protocol, would cost every new connection answers to wait for, all
        # within the time of its first step.
        protocol=2,
        driver_info=None,  # or every new connection looks its own version up, on the disk
    )
    return RedisStore(client, config.prefix)


@contextmanager
def _translated() -> Iterator[None]:
    before = _cancels()
    try:
        yield
    except (RedisError, OSError) as error:
        # Not its text: it may name the address with what is in it.
        if _cancels() == before:
            raise StoreDown(type(error).__name__) from error
    # The library forgets a cancel that meets it while it connects; the task has not.
    if _cancels() > before:
        raise asyncio.CancelledError


def _cancels() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
