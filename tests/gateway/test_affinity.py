"""Sessions stay where their KV is, and engines share them."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import Answer, Served, served

SESSIONS, TURNS, ENGINES = 16, 6, 4
HELLO = turn(text("Hel", "lo"))
SYSTEM = {"role": "system", "content": "You are one of many agents. " * 40}


def by_header(session: str) -> tuple[dict[str, object], dict[str, str]]:
    return {}, {"x_session_id": session}


def by_our_header(session: str) -> tuple[dict[str, object], dict[str, str]]:
    return {}, {"x_roundhouse_session": session}


def by_body(session: str) -> tuple[dict[str, object], dict[str, str]]:
    return {"session_id": session}, {}


def by_cache_key(session: str) -> tuple[dict[str, object], dict[str, str]]:
    return {"prompt_cache_key": session}, {}


WAYS = [by_header, by_our_header, by_body, by_cache_key]
"""Every way in which a session can be recognised belongs in this list."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at_once", [True, False])
async def test_affinity_without_collapse(way: Any, at_once: bool) -> None:
    engines = [ScriptedEngine(HELLO, name=name) for name in "abcd"]
    async with served(*engines) as it, asyncio.timeout(60):
        homes: dict[int, list[str]] = {number: [] for number in range(SESSIONS)}
        if at_once:
            await asyncio.gather(*(_converse(it, way, number, homes) for number in homes))
        else:
            for _ in range(TURNS):
                for number in homes:
                    await _turn(it, way, number, homes)
    pairs = [(a, b) for told in homes.values() for a, b in pairwise(told)]
    requests = Counter(name for told in homes.values() for name in told)
    assert len(pairs) == SESSIONS * (TURNS - 1)
    assert sum(a == b for a, b in pairs) / len(pairs) >= 0.99
    assert max(requests.values()) / requests.total() <= 0.30


async def _converse(it: Served, way: Any, number: int, homes: dict[int, list[str]]) -> None:
    for _ in range(TURNS):
        await _turn(it, way, number, homes)


async def _turn(it: Served, way: Any, number: int, homes: dict[int, list[str]]) -> None:
    fields, headers = way(f"session-{number}")
    said: list[dict[str, str]] = [SYSTEM, {"role": "user", "content": f"task {number}"}]
    for count in range(len(homes[number])):
        said.append({"role": "assistant", "content": "Hello"})
        said.append({"role": "user", "content": f"go on {count}"})
    body = {"messages": said, **fields}
    answer = await it.ask("POST", "/v1/chat/completions", body, **headers)
    homes[number].append(answer.headers["x-roundhouse-engine"])


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
