"""A shared store that answers late: a little costs nothing, with more a gateway goes on alone."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config import StoreConfig
from gateway.redis_store import connect
from tests.parts.engine import ScriptedEngine
from tests.parts.redis_server import RedisServer
from tests.parts.scripts import text, turn
from tests.parts.served import Served, served
from tests.parts.slow_line import SlowLine, slow_line

HELLO = turn(text("Hel", "lo"))
FOREVER_S = 3600.0


@asynccontextmanager
async def two(
    redis: RedisServer, timeout_s: float, rest_s: float
) -> AsyncIterator[tuple[Served, Served, SlowLine]]:
    """The first gateway's line to the store can be slow, the second's cannot."""
    engines = [ScriptedEngine(HELLO, name=name) for name in ("zero", "one", "two")]
    async with slow_line(redis.folder / "redis.sock") as line:
        slow = {"url": f"unix://{line.path}", "timeout_s": timeout_s, "rest_s": rest_s}
        quick = {"url": redis.url, "timeout_s": 30}
        async with served(*engines, store=slow) as one, served(*engines, store=quick) as other:
            yield one, other, line


async def homes(session: str, *gateways: Served) -> set[str]:
    """Where a session is served, asked of one gateway after the other."""
    found = set()
    for gateway in gateways:
        answer = await gateway.chat(session_id=session)
        assert answer.status == 200
        found.add(answer.headers["x-roundhouse-engine"])
    return found


async def test_a_store_that_is_a_little_slow_is_shared_all_the_same(redis: RedisServer) -> None:
    async with two(redis, 30.0, FOREVER_S) as (one, other, line), asyncio.timeout(20):
        line.delay_s = 0.005
        for number in range(3):
            assert len(await homes(f"s{number}", one, other, one)) == 1
        assert one.metric("store_up") == 1
        assert one.metric("store_local_total") == 0


async def test_nobody_waits_twice_for_a_store_that_is_too_slow(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gateway.fallback")
    async with two(redis, 0.02, FOREVER_S) as (one, _, line), asyncio.timeout(20):
        assert (await one.chat(session_id="before")).status == 200
        line.delay_s = FOREVER_S
        asked = line.asked
        async with asyncio.TaskGroup() as requests:
            chats = [requests.create_task(one.chat(session_id=f"s{n}")) for n in range(8)]
        assert [chat.result().status for chat in chats] == [200] * 8
        at_once = line.asked - asked
        assert at_once <= 8, "each has asked once at most"
        for number in range(8):
            assert (await one.chat(session_id=f"s{number}")).status == 200
        assert line.asked - asked == at_once, "and is left alone from then on"
        assert one.metric("store_up") == 0
        assert one.metric("store_local_total") > 8
    (warning,) = (r for r in caplog.records if "does not answer" in r.getMessage())
    assert "going on alone" in warning.getMessage()


async def test_what_is_kept_alone_serves_until_the_store_is_quick_again(redis: RedisServer) -> None:
    async with two(redis, 0.25, 0.001) as (one, other, line), asyncio.timeout(20):
        line.delay_s = FOREVER_S
        assert len(await homes("alone", one, one)) == 1
        assert one.metric("store_up") == 0
        line.delay_s = 0.0
        while one.metric("store_up") == 0:
            assert (await one.chat(session_id="asks")).status == 200
        for number in range(3):
            assert len(await homes(f"again-{number}", one, other, one)) == 1


async def test_a_new_connection_waits_for_no_answer_but_its_first_steps(redis: RedisServer) -> None:
    """All of them had to come within the time of one step, or no connection would ever be made."""
    async with slow_line(redis.folder / "redis.sock") as line, asyncio.timeout(20):
        store = connect(StoreConfig(url=f"unix://{line.path}", timeout_s=30))
        try:
            assert await store.get("nothing") is None
            assert line.asked == 1
        finally:
            await store.close()
