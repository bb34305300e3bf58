"""Two running services share what they learn; no call of theirs ever waits for Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from mcp import Client

from tests.parts.redis_server import RedisServer, redis_server, until
from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.runtimes import Key
from tools_service.service import running


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    async with redis_server() as started:
        yield started


@asynccontextmanager
async def serving(server: RedisServer, **more: object) -> AsyncIterator[Stand]:
    redis = {"url": server.url, "retry_s": 0.01, "timeout_s": 0.5, **more}
    built = stand(redis=redis, shutdown_s=5)
    async with running(built.parts) as url:
        built.url = url
        await until(lambda: built.metric("shared") == 1)
        yield built


async def test_two_services_share_and_no_call_fails_when_redis_dies(server: RedisServer) -> None:
    key = Key("calculate", "size:4", "closed")
    async with (
        serving(server) as one,
        serving(server) as two,
        Client(one.mcp) as client,
    ):

        async def calls(count: int) -> None:
            for _ in range(count):
                result = await client.call_tool("calculate", {"expression": "6 * 7"})
                assert not result.is_error

        await calls(20)
        await until(lambda: two.parts.table.expected(key).samples == 20)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(calls(60))
            tasks.create_task(server.kill())
        await calls(10)
        await server.start()
        await until(lambda: two.parts.table.expected(key).samples == 90)
        assert one.parts.table.expected(key).samples == 90


async def test_what_was_learned_last_is_told_before_the_service_ends(server: RedisServer) -> None:
    async with serving(server) as one, Client(one.mcp) as client:
        await client.call_tool("calculate", {"expression": "6 * 7"})
    async with serving(server) as two:
        found = [line.samples for line in two.parts.table.lines() if line.tool == "calculate"]
        assert found == [1, 1]


async def test_a_service_starts_and_works_without_its_redis(server: RedisServer) -> None:
    await server.kill()
    built = stand(redis={"url": server.url, "retry_s": 0.01}, shutdown_s=0)
    async with running(built.parts) as url, Client(f"{url}/mcp") as client:
        result = await client.call_tool("calculate", {"expression": "6 * 7"})
        assert not result.is_error
        assert built.metric("shared") == 0
        assert built.metric("shared_pending") == 1
