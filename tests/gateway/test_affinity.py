"""Sessions stay where their KV is, and engines share them."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

import pytest

from gateway.identity import By
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served

SESSIONS, TURNS = 16, 6
HELLO = turn(text("Hel", "lo"))
SYSTEM = {"role": "system", "content": "You are one of many agents. " * 40}


OWN = {"type": "function", "function": {"name": "mine"}}


@dataclass
class Agent:
    """A client that has one conversation, and notes which engine answered."""

    number: int
    said: list[dict[str, Any]] = field(default_factory=lambda: [SYSTEM, user("begin")])
    told: str | None = None
    """The last answer's id."""
    homes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"session-{self.number}"

    async def converse(self, it: Served, way: "Way") -> None:
        for _ in range(TURNS):
            await self.turn(it, way)

    async def turn(self, it: Served, way: "Way") -> None:
        fields, headers = way(self)
        body = {"messages": self.said, **fields}
        answer = await it.ask("POST", "/v1/chat/completions", body, **headers)
        assert answer.status == 200
        self.homes.append(answer.headers["x-roundhouse-engine"])
        self.told, message = answer.json["id"], answer.json["choices"][0]["message"]
        self.said.append(message)
        calls = message.get("tool_calls") or []
        results = [{"role": "tool", "tool_call_id": c["id"], "content": "4"} for c in calls]
        self.said += results or [user("go on")]


Way: TypeAlias = Callable[[Agent], tuple[dict[str, Any], dict[str, str]]]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def by_header(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    return {}, {"x_session_id": agent.name}


def by_our_header(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    return {}, {"x_roundhouse_session": agent.name}


def by_body(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    return {"session_id": agent.name}, {}


def by_cache_key(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    return {"prompt_cache_key": agent.name}, {}


def by_conversation(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    """It sends only what is new: nothing else says whose it is."""
    return {"conversation": {"id": agent.name}, "messages": [SYSTEM, agent.said[-1]]}, {}


def by_response(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    """It sends only what is new, as with the conversation."""
    fields = {"previous_response_id": agent.told} if agent.told else {}
    return {**fields, "messages": [SYSTEM, agent.said[-1]]}, {}


def by_tool_call(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    """All conversations read the same: only the ids of their calls are their own."""
    return {"tools": [OWN]}, {}


def by_prefix(agent: Agent) -> tuple[dict[str, Any], dict[str, str]]:
    """It names nothing: its first question is what it has for itself."""
    agent.said[1] = user(f"task {agent.number}")
    return {}, {}


WAYS: dict[Way, By] = {
    by_header: "name",
    by_our_header: "name",
    by_body: "name",
    by_cache_key: "cache_key",
    by_conversation: "conversation",
    by_response: "response",
    by_tool_call: "tool_call",
    by_prefix: "prefix",
}
"""Every way in which a session can be recognised belongs in this list."""
ANONYMOUS: frozenset[By] = frozenset({"response", "tool_call", "prefix"})
"""What cannot be known of a session's first request."""


def engine(name: str, way: Way) -> ScriptedEngine:
    if way is not by_tool_call:
        return ScriptedEngine(HELLO, name=name)
    ids = (f"call_{name}{number:023x}" for number in range(SESSIONS * TURNS))
    turns = [turn(call("mine", id=id), reason="tool_calls") for id in ids]
    return ScriptedEngine(*turns, name=name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at_once", [True, False])
async def test_affinity_without_collapse(way: Way, at_once: bool) -> None:
    agents = [Agent(number) for number in range(SESSIONS)]
    async with served(*(engine(name, way) for name in "abcd")) as it, asyncio.timeout(60):
        if at_once:
            await asyncio.gather(*(agent.converse(it, way) for agent in agents))
        else:
            for _ in range(TURNS):
                for agent in agents:
                    await agent.turn(it, way)
        recognised = it.metric("sessions_recognised_total", by=WAYS[way])
        begun = it.metric("sessions_recognised_total", by="new")
    pairs = [pair for agent in agents for pair in pairwise(agent.homes)]
    requests = Counter(name for agent in agents for name in agent.homes)
    assert len(pairs) == SESSIONS * (TURNS - 1)
    assert sum(a == b for a, b in pairs) / len(pairs) >= 0.99
    assert max(requests.values()) / requests.total() <= 0.30
    assert begun == (SESSIONS if WAYS[way] in ANONYMOUS else 0)
    assert recognised == requests.total() - begun, "by this way and by no other"


async def test_a_new_session_goes_where_its_prompt_is_when_engines_are_alike() -> None:
    engines = [ScriptedEngine(HELLO, name=name) for name in "ab"]
    async with served(*engines) as it:
        engines[0].kv_used_ratio = 0.1  # so that without the prompt it would go to b
        body = {"messages": [SYSTEM, {"role": "user", "content": "x"}]}
        last = {"x_roundhouse_session_final": "true"}  # or it would count as a program of b's
        first = await it.ask("POST", "/v1/chat/completions", body, **last)
        engines[1].kv_used_ratio = 0.9
        body = {"messages": [SYSTEM, {"role": "user", "content": "y"}]}
        again = await it.ask("POST", "/v1/chat/completions", body, **last)
        other = await it.chat(messages=[{"role": "user", "content": "y"}])
    told = [answer.headers["x-roundhouse-engine"] for answer in (first, again, other)]
    assert told == ["b", "b", "a"]


async def test_a_session_leaves_a_draining_engine_between_turns_and_new_ones_avoid_it() -> None:
    gate = asyncio.Event()
    engines = ScriptedEngine([gate, *HELLO], name="a"), ScriptedEngine(HELLO, name="b")
    async with served(*engines, admin_key="k") as it, asyncio.timeout(10):
        running = asyncio.create_task(it.chat(session_id="s"))
        await engines[0].asked.wait()
        assert (await order(it, "drain", "a")).json["state"] == "draining"
        new = await it.chat(session_id="t")
        assert not running.done()
        gate.set()
        assert (await running).headers["x-roundhouse-engine"] == "a"
        moved = await it.chat(session_id="s")
        assert moved.headers["x-roundhouse-engine"] == "b"
        assert new.headers["x-roundhouse-engine"] == "b"
        assert it.metric("session_moves_total", reason="draining") == 1
        assert it.metric("engine_ready", engine="a") == 0
        health = await it.ask("GET", "/health")
        assert health.json["engines"]["a"] == "draining"
        assert (await order(it, "resume", "a")).json["state"] == "well"
        assert it.metric("engine_ready", engine="a") == 1


async def test_an_overloaded_home_is_left() -> None:
    gate = asyncio.Event()
    engines = ScriptedEngine(HELLO, [gate, *HELLO], name="a"), ScriptedEngine(HELLO, name="b")
    routing = {"spill_requests": 2, "spill_ratio": 1}
    async with served(*engines, routing=routing) as it, asyncio.timeout(10):
        first = await it.chat(session_id="s")
        assert first.headers["x-roundhouse-engine"] == "a"
        running = [asyncio.create_task(it.chat(session_id="s")) for _ in range(3)]
        while it.metric("engine_requests", engine="a") < 3:
            await it.ask("GET", "/livez")
        moved = await it.chat(session_id="s")
        assert moved.headers["x-roundhouse-engine"] == "b"
        assert it.metric("session_moves_total", reason="overloaded") == 1
        assert it.metric("engine_programs", engine="b") == 1
        gate.set()
        await asyncio.gather(*running)


async def test_programs_count_between_their_turns_and_no_longer_than_they_live() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        await it.chat(session_id="s")
        assert it.metric("engine_programs", engine="zero") == 1
        await it.ask("POST", "/v1/completions", {"prompt": "x"})
        assert it.metric("engine_programs", engine="zero") == 1, "nobody can come back to it"


async def test_a_pool_is_served_by_its_engines_only() -> None:
    quick, broad = ScriptedEngine(HELLO, name="quick"), ScriptedEngine(HELLO, name="broad")
    quick.pool, broad.pool = "latency", "throughput"
    async with served(quick, broad, routing={"aliases": {"x": "scripted"}}) as it:
        for pool, name in (("latency", "quick"), ("throughput", "broad")):
            answer = await it.ask(
                "POST",
                "/v1/chat/completions",
                {"model": "x", "messages": [SYSTEM], "session_id": "s"},
                x_roundhouse_pool=pool,
            )
            assert answer.headers["x-roundhouse-engine"] == name
            assert answer.json["model"] == "scripted"
        assert it.metric("session_moves_total", reason="elsewhere") == 1
        models = await it.ask("GET", "/v1/models")
    assert [card["id"] for card in models.json["data"]] == ["scripted", "x"]


async def order(it: Served, what: str, name: str, key: str = "k") -> Answer:
    path = f"/v1/engines/{name}/{what}"
    return await it.ask("POST", path, authorization=f"Bearer {key}")


async def test_only_the_operator_sees_and_drains_engines() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["client"], admin_key="k") as it:
        for key in ("client", ""):
            assert (await order(it, "drain", "zero", key)).status == 401
        assert (await order(it, "drain", "one")).status == 404
        shown = await it.ask("GET", "/v1/engines", authorization="Bearer k")
        (engine,) = shown.json["data"]
    assert (engine["id"], engine["state"], engine["requests"]) == ("zero", "well", 0)
    async with served(ScriptedEngine(HELLO)) as it:
        assert (await order(it, "drain", "zero", "")).status == 401
        assert (await it.ask("GET", "/v1/engines")).status == 401
