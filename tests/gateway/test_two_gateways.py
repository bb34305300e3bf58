"""Two gateways that share a store, in front of the same engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.parts.engine import ScriptedEngine
from tests.parts.redis_server import RedisServer, redis_server
from tests.parts.scripts import call, text, turn
from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))
OWN = {"type": "function", "function": {"name": "mine"}}
USER = {"role": "user", "content": "go"}


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@asynccontextmanager
async def two(
    redis: RedisServer, engines: list[ScriptedEngine], **settings: object
) -> AsyncIterator[tuple[Served, Served]]:
    settings["store"] = {"url": redis.url, "timeout_s": 30}
    async with served(*engines, **settings) as one, served(*engines, **settings) as other:
        yield one, other


async def test_a_session_is_at_home_where_the_other_gateway_left_it(redis: RedisServer) -> None:
    engines = [ScriptedEngine(HELLO, name=name) for name in ("zero", "one", "two")]
    async with two(redis, engines) as (one, other), asyncio.timeout(20):
        for number in range(6):
            homes = set()
            for gateway in (one, other, one):
                answer = await gateway.chat(session_id=f"s{number}")
                homes.add(answer.headers["x-roundhouse-engine"])
            assert len(homes) == 1
    assert sum(bool(engine.calls) for engine in engines) > 1, "or nothing was shown"


async def test_a_session_is_known_by_its_call_at_the_other_gateway(redis: RedisServer) -> None:
    calls = turn(call("mine", id="call-of-the-first"), reason="tool_calls")
    async with two(redis, [ScriptedEngine(calls, HELLO)]) as (one, other), asyncio.timeout(20):
        first = await one.chat(tools=[OWN], stream=True)
        told = {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call-of-the-first",
                    "type": "function",
                    "function": {"name": "mine", "arguments": "{}"},
                }
            ],
        }
        back = {"role": "tool", "tool_call_id": "call-of-the-first", "content": "4"}
        second = await other.chat(tools=[OWN], messages=[USER, told, back])
    assert second.headers["x-roundhouse-session"] == first.headers["x-roundhouse-session"]


async def test_results_a_client_never_saw_are_found_at_the_other_gateway(
    redis: RedisServer,
) -> None:
    mixed = turn(call("search"), call("mine", index=1), reason="tool_calls")
    engine = ScriptedEngine(mixed, HELLO)
    tools = [{"type": "mcp", "server_label": "roundhouse"}, OWN]
    told = {"role": "assistant", "tool_calls": [{"id": "call-mine-1", "type": "function"}]}
    back = {"role": "tool", "tool_call_id": "call-mine-1", "content": "theirs"}
    async with (
        asyncio.timeout(20),
        tools_service(ScriptedTool(text="ours")) as url,
        two(redis, [engine], tools={"url": url}) as (one, other),
    ):
        await one.chat(tools=tools, messages=[USER])
        await other.chat(tools=tools, messages=[USER, told, back])
    messages: Any = engine.calls[-1].body["messages"]
    _, assistant, ours, theirs = messages
    assert [made["id"] for made in assistant["tool_calls"]] == ["call-search-0", "call-mine-1"]
    assert (ours["content"], theirs["content"]) == ("ours", "theirs")


async def test_without_its_store_a_gateway_goes_on_alone(redis: RedisServer) -> None:
    async with two(redis, [ScriptedEngine(HELLO)]) as (one, _), asyncio.timeout(20):
        await one.chat(session_id="s")
        assert one.metric("store_up") == 1
        await redis.kill()
        assert (await one.chat(session_id="t")).status == 200
        assert one.metric("store_up") == 0
        assert one.metric("store_local_total") > 0
