"""What gateways know together, in memory and in a real Redis."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.config import StoreConfig
from gateway.fallback import FallbackStore, StoreMetrics
from gateway.redis_store import RedisStore, connect
from gateway.store import Bucket, Lease, MemoryStore, Store
from tests.parts.clock import Clock
from tests.parts.redis_server import RedisServer, redis_server


@asynccontextmanager
async def opened(config: StoreConfig) -> AsyncIterator[RedisStore]:
    store = connect(config)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Both kinds must keep the same promises."""
    if request.param == "memory":
        yield MemoryStore(Clock())
        return
    async with redis_server() as server, opened(StoreConfig(url=server.url, timeout_s=30)) as one:
        yield one


async def test_a_value_is_found_until_it_is_taken_away(store: Store) -> None:
    assert await store.get("a") is None
    await store.put("a", b"1", 60.0)
    assert await store.get("a") == b"1"
    await store.put("a", None, 60.0)
    assert await store.get("a") is None


async def test_a_budget_gives_what_it_holds_and_then_says_when(store: Store) -> None:
    bucket = Bucket(rate=0.01, burst=2)
    assert await store.spend("b", 1, bucket, owed=False) == 0.0
    assert await store.spend("b", 1, bucket, owed=False) == 0.0
    assert 90 < await store.spend("b", 1, bucket, owed=False) <= 100
    assert await store.spend("other", 1, bucket, owed=False) == 0.0


async def test_what_is_owed_is_taken_beyond_what_is_there(store: Store) -> None:
    bucket = Bucket(rate=0.01, burst=10)
    assert await store.spend("b", 25, bucket, owed=True) == 0.0
    assert 1500 < await store.spend("b", 1, bucket, owed=False) <= 1600


async def test_what_time_does_not_fill_is_filled_by_what_is_put_in_up_to_the_brim(
    store: Store,
) -> None:
    bucket = Bucket(rate=0.0, burst=2)
    for amount, wait_s in ((2, 0.0), (1, math.inf), (-1.5, 0.0), (1, 0.0), (1, math.inf)):
        assert await store.spend("b", amount, bucket, owed=amount < 0) == wait_s
    await store.spend("b", -100, bucket, owed=True)
    assert await store.spend("b", 2, bucket, owed=False) == 0.0
    assert await store.spend("b", 1, bucket, owed=False) == math.inf


async def test_more_than_a_budget_ever_holds_needs_it_full(store: Store) -> None:
    bucket = Bucket(rate=0.01, burst=10)
    assert await store.spend("b", 50, bucket, owed=False) == 0.0
    assert await store.spend("b", 50, bucket, owed=False) > 0


async def test_as_many_hold_a_lease_as_may_and_each_renews_its_own(store: Store) -> None:
    lease = Lease(most=2, ttl_s=60)
    assert await store.enter("c", "one", lease)
    until_s = await store.enter("c", "two", lease)
    assert not await store.enter("c", "three", lease)
    assert await store.enter("c", "one", lease)
    await store.leave("c", "two", until_s)
    assert await store.enter("c", "three", lease)


async def test_a_lease_that_was_renewed_is_not_given_back_by_who_held_it_before(
    store: Store,
) -> None:
    """The end of a session's last request, heard late, ended the count of its next one."""
    lease = Lease(most=1, ttl_s=60)
    before_s = await store.enter("c", "one", lease)
    now_s = await store.enter("c", "one", lease)
    await store.leave("c", "one", before_s)
    assert not await store.enter("c", "two", lease)
    await store.leave("c", "one", now_s)
    assert await store.enter("c", "two", lease)


async def test_in_memory_time_runs_out_and_budgets_recover() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    await store.put("a", b"1", 10.0)
    assert await store.enter("c", "one", Lease(1, 10.0))
    assert await store.spend("b", 2, Bucket(1, 2), owed=False) == 0.0
    clock.now_s = 10.0
    assert await store.get("a") is None
    assert await store.enter("c", "two", Lease(1, 10.0))
    assert await store.spend("b", 2, Bucket(1, 2), owed=False) == 0.0


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=40),
    st.floats(0.1, 2),
    st.floats(1, 5),
)
def test_a_budget_never_gives_more_than_it_was_filled_with(
    wishes: list[tuple[float, float]], rate: float, burst: float
) -> None:
    clock = Clock()
    store = MemoryStore(clock)
    given = 0.0

    async def run() -> None:
        nonlocal given
        for amount, wait_s in wishes:
            clock.now_s += wait_s
            wanted = min(amount, burst)
            if await store.spend("b", wanted, Bucket(rate, burst), owed=False) == 0.0:
                given += wanted

    asyncio.run(run())
    assert given <= burst + clock.now_s * rate + 1e-6


async def test_memory_is_bounded() -> None:
    store = MemoryStore(Clock(), most=2)
    for name in "abc":
        await store.put(name, b"1", 60.0)
    assert [await store.get(name) for name in "abc"] == [None, b"1", b"1"]


def fallback(shared: Store, clock: Callable[[], float]) -> tuple[FallbackStore, StoreMetrics]:
    metrics = StoreMetrics(CollectorRegistry())
    return FallbackStore(shared, MemoryStore(clock), metrics, timeout_s=0.2, rest_s=5.0), metrics


async def test_two_gateways_share_values_budgets_and_leases(redis: RedisServer) -> None:
    config = StoreConfig(url=redis.url, timeout_s=30)
    async with opened(config) as one, opened(config) as two:
        await one.put("home", b"gpu0", 60.0)
        assert await two.get("home") == b"gpu0"
        assert await one.spend("b", 2, Bucket(0.01, 2), owed=False) == 0.0
        assert await two.spend("b", 1, Bucket(0.01, 2), owed=False) > 0
        assert await one.enter("c", "s1", Lease(1, 60))
        assert not await two.enter("c", "s2", Lease(1, 60))


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_store_that_is_down_or_slow_costs_nothing_but_company(
    redis: RedisServer, fault: str
) -> None:
    clock = Clock()
    async with opened(StoreConfig(url=redis.url, timeout_s=0.2)) as shared:
        store, metrics = fallback(shared, clock)
        await store.put("a", b"shared", 60.0)
        await redis.kill() if fault == "kill" else redis.freeze()
        assert await store.get("a") is None
        await store.put("a", b"own", 60.0)
        assert await store.get("a") == b"own"
        assert metrics.up._value.get() == 0
        assert metrics.local._value.get() == 3
        await redis.start() if fault == "kill" else redis.thaw()
        clock.now_s = 6.0
        await store.put("b", b"shared again", 60.0)
        assert metrics.up._value.get() == 1
        assert await shared.get("b") == b"shared again"


async def test_a_cancel_while_the_store_is_asked_is_heard(redis: RedisServer) -> None:
    async with opened(StoreConfig(url=redis.url, timeout_s=30)) as shared:
        redis.freeze()
        asking = asyncio.create_task(shared.get("a"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        redis.thaw()


def test_the_store_s_address_holds_no_password() -> None:
    with pytest.raises(ValueError, match="url"):
        StoreConfig(url="redis://:secret@host")


def is_store(store: RedisStore | MemoryStore | FallbackStore) -> Store:
    """Checked by the types alone."""
    return store
