"""Replicas share what they learn through a real Redis, and go on alone when it is away."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator

import pytest

from tests.parts.redis_server import RedisServer, redis_server, until
from tests.tools_service.replicas import KEY, Replica, same, settings, taking_part
from tools_service.records import Outcome
from tools_service.redis_link import opened
from tools_service.redis_rows import Keys
from tools_service.runtimes import Key, Table

ENDINGS: tuple[Outcome, ...] = ("ok", "ok", "ok", "error", "timeout", "cancelled")


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as started:
        yield started


def busy(replica: Replica, calls: int, seed: int) -> None:
    """Many calls with pauses long enough for weights to be rescaled."""
    chance, now = random.Random(seed), 1e9
    for _ in range(calls):
        now += chance.choice((0.1, 50.0, 500.0))
        tool = chance.choice(("search", "a:b/c d", "é"))
        key = Key(tool, chance.choice(("x", "x:y", "*")), "open")
        replica.see(math.exp(chance.gauss(0, 3)), key=key, outcome=chance.choice(ENDINGS), now=now)


async def test_who_joins_later_knows_all_that_the_others_know(server: RedisServer) -> None:
    """The script in Redis does the same sums as the table, on all three levels."""
    async with taking_part(Replica(settings(server))) as one:
        busy(one, 1500, seed=1)
        await one.shared.flush(30)
        async with taking_part(Replica(settings(server))) as late:
            assert same(late.table.copy(), one.table.copy())
    assert one.metric("shared_lessons_total", way="told") == 1500
    assert one.metric("shared_pending") == 0


async def test_what_one_replica_learns_the_other_expects(server: RedisServer) -> None:
    async with (
        taking_part(Replica(settings(server))) as one,
        taking_part(Replica(settings(server))) as two,
    ):
        for _ in range(100):
            one.see(7.0)
            two.see(7.0)
        await until(lambda: one.samples == two.samples == 200)
        assert two.table.expected(KEY).p50_s == pytest.approx(7.0, rel=0.15)
        assert same(one.table.copy(), two.table.copy())
        assert two.metric("shared_lessons_total", way="heard") == 100


async def test_a_table_from_a_file_gives_way_to_the_shared_one(server: RedisServer) -> None:
    async with taking_part(Replica(settings(server))) as one:
        one.see(1.0)
        await one.shared.flush(30)
        late = Replica(settings(server))
        late.table.replace(one.table.copy())
        late.see(2.0)
        async with taking_part(late):
            assert late.samples == 2, "what both know is counted once"


async def test_an_empty_redis_is_given_the_table_and_what_waits_is_not_counted_twice(
    server: RedisServer,
) -> None:
    one = Replica(settings(server))
    for _ in range(30):
        one.see(3.0)
    async with taking_part(one), taking_part(Replica(settings(server))) as two:
        assert two.samples == one.samples == 30
        one.see(3.0)
        await until(lambda: two.samples == 31)


async def test_a_redis_that_dies_and_comes_back_empty_costs_nothing(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        taking_part(Replica(settings(server))) as one,
        taking_part(Replica(settings(server))) as two,
    ):
        for _ in range(50):
            one.see(3.0)
        await until(lambda: two.samples == 50)
        await server.kill()
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                one.see(3.0)
                two.see(3.0)
            await until(lambda: one.metric("shared") == two.metric("shared") == 0)
        await server.start()
        await until(lambda: one.samples == two.samples == 90)
        async with taking_part(Replica(settings(server))) as three:
            await until(lambda: three.samples == 90)
    assert caplog.text.count("redis is away") == 2, "one warning for each, however long it takes"


async def test_killed_under_load_nothing_is_counted_twice_or_forgotten(
    server: RedisServer,
) -> None:
    async with (
        taking_part(Replica(settings(server))) as one,
        taking_part(Replica(settings(server))) as two,
    ):

        async def load(calls: int) -> None:
            for number in range(calls):
                one.see(3.0)
                if number % 20 == 0:
                    await asyncio.sleep(0)

        def agree() -> bool:
            return one.samples == two.samples

        for _ in range(3):
            await load(300)
            # What the other has not heard when Redis dies is lost with it, as documented.
            await until(agree)
            one.see(3.0)  # told or not when it dies
            await server.kill()
            await load(100)
            await server.start()
        await until(lambda: one.metric("shared_pending") == 0 and two.samples >= 1200)
        assert one.samples == 1203
        assert two.samples <= 1203
        async with taking_part(Replica(settings(server))) as three:
            assert 1200 <= three.samples <= 1203


async def test_leaving_while_it_connects_is_heard(server: RedisServer) -> None:
    """The library once forgot such a cancel, and the service never ended."""
    for turns in range(30):
        task = asyncio.create_task(Replica(settings(server)).shared.run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=240)
        assert done


async def test_a_frozen_redis_is_told_once_when_it_goes_on(server: RedisServer) -> None:
    """It may have taken what it did not answer: the same lessons are told again."""
    async with taking_part(Replica(settings(server, timeout_s=0.2))) as one:
        one.see(3.0)
        await one.shared.flush(30)
        server.freeze()
        for _ in range(200):
            one.see(3.0)
        await until(lambda: one.metric("shared") == 0)
        server.thaw()
        await one.shared.flush(30)
        async with taking_part(Replica(settings(server))) as two:
            assert two.samples == one.samples == 201


async def test_what_waits_for_a_redis_that_is_away_is_bounded(server: RedisServer) -> None:
    await server.kill()
    one = Replica(settings(server, pending=10))
    for _ in range(25):
        one.see(3.0)
    assert one.metric("shared_pending") == 10
    assert one.metric("shared_lessons_total", way="lost") == 15
    assert one.samples == 25


async def test_rubbish_among_the_lessons_is_passed_over(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(server)
    async with taking_part(Replica(config)) as one, taking_part(Replica(config)) as two:
        with caplog.at_level(logging.WARNING):
            async with opened(config) as link:
                await link.append(Keys(config.prefix).lessons, [b"rubbish"], most=100)
            two.see(1.0)
            await until(lambda: one.samples == 1)
        assert "unreadable" in caplog.text


async def test_rows_in_redis_are_bounded(server: RedisServer) -> None:
    small = Table(shapes_per_tool=2, tools=2)
    async with taking_part(Replica(settings(server), table=small)) as one:
        for number in range(30):
            one.see(1.0, key=Key(f"t{number}", "x", "open"), now=1e3 + number)
        await one.shared.flush(30)
        async with taking_part(Replica(settings(server))) as wide:
            assert len(wide.table) <= 6


async def test_a_password_is_shown_to_redis() -> None:
    async with redis_server("--requirepass", "pass word") as server:
        config = settings(server, password="pass word")
        async with taking_part(Replica(config)) as one:
            one.see(1.0)
            await one.shared.flush(30)
            assert one.metric("shared_lessons_total", way="told") == 1
