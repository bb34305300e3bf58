"""Two gateways that share a store, in front of the same engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.sessions import Session
from gateway.shared import SharedSessions
from gateway.store import MemoryStore
from tests.parts.engine import ScriptedEngine
from tests.parts.redis_server import RedisServer
from tests.parts.scripts import USAGE, call, text, turn
from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))
OWN = {"type": "function", "function": {"name": "mine"}}
TOKENS = USAGE.prompt_tokens + USAGE.completion_tokens
USER = {"role": "user", "content": "go"}


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
        await one.ask("DELETE", "/v1/sessions/s")
        assert (await one.chat(session_id="s")).status == 200, "it begins anew"
        assert one.metric("store_up") == 0
        assert one.metric("store_local_total") > 0


def conversation(*said: str) -> list[dict[str, str]]:
    """Questions and answers, in turn."""
    return [
        {"role": ("user", "assistant")[number % 2], "content": content}
        for number, content in enumerate(said)
    ]


async def test_a_conversation_goes_on_at_whichever_gateway(redis: RedisServer) -> None:
    engine = ScriptedEngine(HELLO)
    async with two(redis, [engine]) as (one, other), asyncio.timeout(20):
        sessions = []
        said = ["What is two and two?"]
        for gateway in (one, other, other, one, other):
            answer = await gateway.chat(messages=conversation(*said), stream=gateway is one)
            sessions.append(answer.headers["x-roundhouse-session"])
            said += ["Hello", f"And {len(said)}?"]
        assert len(set(sessions)) == 1
        assert other.metric("sessions_recognised_total", by="prefix") == 3
        foreign = await other.chat(messages=conversation("What?", "Hello", "And?"))
    assert foreign.headers["x-roundhouse-session"] not in sessions


async def test_a_fork_that_is_sent_while_calls_are_pending_is_a_session_of_its_own(
    redis: RedisServer,
) -> None:
    calls = turn(call("mine", id="call-of-the-first"), reason="tool_calls")
    function = {"name": "mine", "arguments": "{}"}
    made = {"id": "call-of-the-first", "type": "function", "function": function}
    told = {"role": "assistant", "content": None, "tool_calls": [made]}
    fork = [USER, told, {"role": "user", "content": "something else"}]
    async with two(redis, [ScriptedEngine(calls, HELLO)]) as (one, other), asyncio.timeout(20):
        first = await one.chat(tools=[OWN], messages=[USER])
        for gateway in (one, other):
            forked = await gateway.chat(tools=[OWN], messages=fork)
            name = "x-roundhouse-session"
            assert forked.headers[name] != first.headers[name]


async def test_calls_that_all_conversations_number_alike_tell_nobody_apart(
    redis: RedisServer,
) -> None:
    """Some models' ids begin anew in every conversation: there the conversation decides."""
    calls = turn(call("mine", id="call_1"), reason="tool_calls")
    function = {"name": "mine", "arguments": "{}"}
    told = {
        "role": "assistant",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    back = {"role": "tool", "tool_call_id": "call_1", "content": "4"}
    async with two(redis, [ScriptedEngine(calls, calls, HELLO)]) as (one, other):
        async with asyncio.timeout(20):
            name, asked = "x-roundhouse-session", ("this", "that")
            questions = [{"role": "user", "content": content} for content in asked]
            began = [await one.chat(tools=[OWN], messages=[ask]) for ask in questions]
            went = [await other.chat(tools=[OWN], messages=[ask, told, back]) for ask in questions]
    assert [answer.headers[name] for answer in went] == [answer.headers[name] for answer in began]
    assert began[0].headers[name] != began[1].headers[name]


async def test_an_answer_is_gone_on_from_at_the_other_gateway(redis: RedisServer) -> None:
    async with two(redis, [ScriptedEngine(HELLO)]) as (one, other), asyncio.timeout(20):
        first = await one.chat()
        answer_id = first.json["id"]
        second = await other.chat(previous_response_id=answer_id)
    assert second.headers["x-roundhouse-session"] == first.headers["x-roundhouse-session"]


async def test_agents_that_have_been_told_the_same_are_not_taken_for_each_other_elsewhere(
    redis: RedisServer,
) -> None:
    first, more = conversation("go"), conversation("go", "Hello", "on")
    async with two(redis, [ScriptedEngine(HELLO)]) as (one, other), asyncio.timeout(20):
        twins = {(await one.chat(messages=first)).headers["x-roundhouse-session"] for _ in "ab"}
        after = {(await other.chat(messages=more)).headers["x-roundhouse-session"] for _ in "ab"}
    assert len(twins) == len(after) == 2


@pytest.mark.parametrize("caps", [{"turns": 2}, {"tokens": 2 * TOKENS}])
async def test_what_a_session_may_use_is_counted_at_all_gateways(
    redis: RedisServer, caps: dict[str, int]
) -> None:
    sessions = {"caps": caps}
    async with (
        two(redis, [ScriptedEngine(HELLO)], sessions=sessions) as (one, other),
        asyncio.timeout(20),
    ):
        assert [(await at.chat(session_id="s")).status for at in (one, other)] == [200, 200]
        for gateway in (one, other):
            spent = await gateway.chat(session_id="s")
            assert (spent.status, spent.error["code"]) == (400, "session_limit_exceeded")
        assert (await one.chat(session_id="t")).status == 200


async def test_the_time_of_a_session_runs_from_its_first_request_at_any_gateway() -> None:
    store = MemoryStore(lambda: 0.0)
    one = SharedSessions(store, 60.0, is_capped=True, clock=lambda: 1000.0)
    other = SharedSessions(store, 60.0, is_capped=True, clock=lambda: 5.0)
    begun = Session("s", "tenant", "s", named=True, started_s=400.0)
    await one.keep_spent(begun)
    gone_on = Session("s", "tenant", "s", named=True, started_s=5.0)
    await other.catch_up(gone_on)
    assert gone_on.started_s == pytest.approx(5.0 - 600.0, abs=1.0)
