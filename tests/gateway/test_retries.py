"""How often requests are sent again, by one gateway and by several that share a store."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import FailuresConfig, StoreConfig
from gateway.redis_store import connect
from gateway.retries import Retries
from gateway.store import MemoryStore, Store
from tests.parts.clock import Clock
from tests.parts.redis_server import redis_server
from tests.parts.served import served
from tests.parts.upstream import Upstream, refuses, says

GATEWAYS = 3
BROKEN = refuses(500, {"error": {"message": "out of memory", "type": "server_error"}})

configs = st.builds(FailuresConfig, retry_ratio=st.floats(0, 1), retry_burst=st.integers(0, 10))
steps = st.lists(
    st.tuples(st.integers(0, GATEWAYS - 1), st.sampled_from(["well", "failed", "settled"]))
)


def gateways(config: FailuresConfig, *stores: Store) -> list[Retries]:
    shared = stores or (MemoryStore(Clock()),)
    return [Retries(config, shared[number % len(shared)]) for number in range(GATEWAYS)]


async def play(retries: Sequence[Retries], history: list[tuple[int, str]]) -> list[bool | None]:
    """What was granted at each step; None where nobody asked."""
    granted: list[bool | None] = []
    for gateway, end in history:
        if end == "settled":
            await retries[gateway].settle()
        else:
            retries[gateway].earn()
        granted.append(await retries[gateway].spend() if end == "failed" else None)
    return granted


@given(configs, steps)
def test_all_gateways_together_never_retry_more_than_their_share_and_one_burst(
    config: FailuresConfig, history: list[tuple[int, str]]
) -> None:
    granted = asyncio.run(play(gateways(config), history))
    sent = requests = 0
    for (_, end), was in zip(history, granted, strict=True):
        requests += end != "settled"
        sent += bool(was)
        assert sent <= max(config.retry_burst, 1) + config.retry_ratio * requests + 1e-6


@given(configs, steps, steps)
def test_a_quiet_time_saves_up_one_burst_and_what_is_not_settled_yet(
    config: FailuresConfig, quiet: list[tuple[int, str]], storm: list[tuple[int, str]]
) -> None:
    calm = [(gateway, "well") for gateway, _ in quiet]
    earned = [config.retry_ratio * calm.count((number, "well")) for number in range(GATEWAYS)]

    async def run(settles: bool) -> int:
        retries = gateways(config)
        await play(retries, calm)
        if settles:
            await play(retries, [(gateway, "settled") for gateway in range(GATEWAYS)])
        return sum(bool(was) for was in await play(retries, storm))

    most = max(config.retry_burst, 1)
    share = config.retry_ratio * sum(end != "settled" for _, end in storm)
    unsettled = sum(min(most, part) for part in earned)
    assert asyncio.run(run(settles=False)) <= most + share + unsettled + 1e-6
    assert asyncio.run(run(settles=True)) <= most + share + 1e-6


@given(configs, st.integers(1, 30))
def test_retries_asked_for_at_once_are_not_granted_twice(
    config: FailuresConfig, asked: int
) -> None:
    async def run() -> int:
        each = [retries.spend() for retries in gateways(config) for _ in range(asked)]
        return sum(await asyncio.gather(*each))

    assert asyncio.run(run()) <= max(config.retry_burst, 1)


def test_without_a_share_and_a_burst_there_are_no_retries() -> None:
    config = FailuresConfig(retry_ratio=0, retry_burst=0)
    assert not any(asyncio.run(play(gateways(config), [(0, "failed")] * 100)))


async def test_one_gateway_sends_again_what_another_has_earned() -> None:
    one, other, _ = gateways(FailuresConfig(retry_ratio=0.5, retry_burst=1))
    assert await one.spend()
    for _ in range(2):
        one.earn()
    assert not await other.spend(), "not before it is settled"
    await one.settle()
    assert await other.spend()
    assert not await one.spend()


async def test_in_redis_the_budget_is_what_it_is_in_memory() -> None:
    config = FailuresConfig(retry_ratio=0.25, retry_burst=3)  # exact in binary
    chance = random.Random(7)
    ends = ["well", "well", "failed", "settled"]
    history = [(chance.randrange(GATEWAYS), chance.choice(ends)) for _ in range(400)]
    async with redis_server() as server:
        shared = [connect(StoreConfig(url=server.url, timeout_s=30)) for _ in range(GATEWAYS)]
        in_redis = await play(gateways(config, *shared), history)
        for store in shared:
            await store.close()
    assert in_redis == await play(gateways(config), history)
    assert 10 < sum(map(bool, in_redis)) <= 3 + 0.25 * 400


async def test_two_gateways_have_one_budget_and_without_their_store_one_each() -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    failures = {"retry_ratio": 0, "retry_burst": 4, "in_a_row": 1000}
    async with asyncio.timeout(60), redis_server() as redis, AsyncExitStack() as stack:
        for upstream in upstreams:
            await stack.enter_async_context(upstream.running())
        store = {"url": redis.url, "timeout_s": 30}
        both = []
        for _ in range(2):
            engines = [u.engine(name=name) for u, name in zip(upstreams, "ab", strict=True)]
            it = served(*engines, failures=failures, store=store)
            both.append(await stack.enter_async_context(it))
        for upstream in upstreams:
            upstream.manner = BROKEN

        async def sent() -> list[float]:
            for number in range(12):
                assert (await both[number % 2].chat()).status == 500
            return [it.metric("retries_total", outcome="sent") for it in both]

        assert await sent() == [2, 2]
        await redis.kill()
        assert await sent() == [2 + 4, 2 + 4]
    assert sum(len(upstream.asked) for upstream in upstreams) == 24 + 12


async def test_a_request_that_does_well_waits_for_no_store() -> None:
    upstream = Upstream(says())
    async with redis_server() as redis, upstream.running():
        store = {"url": redis.url, "timeout_s": 60}
        async with served(upstream.engine(name="a"), store=store) as it, asyncio.timeout(30):
            await it.chat(session_id="s")  # finds out that no other gateway knows it
            redis.freeze()
            for _ in range(50):
                assert (await it.chat(session_id="s")).status == 200
            assert it.metric("store_up") == 1, "it was not even asked in vain"
