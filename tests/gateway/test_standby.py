"""Engines that sleep and wake, as clients and operators meet them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.errors import CannotSleep, EngineFailed
from engine.types import Usage
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.upstream import Upstream, says

HELLO = turn(text("Hel", "lo"))
PROMPT = {"look_s": 0.01, "wake_after_s": 0, "sleep_after_s": 0, "awake_s": 0}
"""Does at once what is to be done."""
LAZY = {"look_s": 0.01, "wake_after_s": 0, "sleep_after_s": 1e6}
"""Wakes at once, and sends nobody to sleep."""


def pair(*, asleep: bool = False) -> tuple[ScriptedEngine, ScriptedEngine]:
    """An engine and its spare."""
    engines = ScriptedEngine(HELLO, name="a"), ScriptedEngine(HELLO, name="b")
    engines[1].spare, engines[1].is_asleep = True, asleep
    return engines


@asynccontextmanager
async def house(*engines: Any, **spares: object) -> AsyncGenerator[Served]:
    async with served(*engines, admin_key="k", spares=spares) as it, asyncio.timeout(20):
        yield it


async def order(it: Served, what: str, name: str = "b", key: str = "k") -> Answer:
    return await it.ask("POST", f"/v1/engines/{name}/{what}", authorization=f"Bearer {key}")


async def until(it: Served, name: str, **labels: str) -> None:
    while not it.metric(name, **labels):
        await it.ask("GET", "/livez")


async def test_a_spare_nobody_needs_sleeps_and_pressure_wakes_it() -> None:
    engines = pair()
    async with house(*engines, **PROMPT) as it:
        await until(it, "engine_sleeps_total", engine="b", reason="quiet")
        assert engines[1].is_asleep and not engines[0].is_asleep
        assert it.metric("engine_asleep", engine="b") == 1
        assert (await it.chat()).headers["x-roundhouse-engine"] == "a"
        engines[0].kv_used_ratio = 0.9
        await until(it, "engine_wakes_total", engine="b", reason="load")
        assert len(engines[1].calls) >= 1, "it has been asked for a token"
        assert it.metric("engine_wake_seconds_count", engine="b") >= 1
        assert (await it.chat()).headers["x-roundhouse-engine"] == "b", "the other is loaded"


async def test_a_spare_stays_awake_while_the_others_would_be_too_full_without_it() -> None:
    engines = pair()
    async with house(*engines, **{**PROMPT, "wake_ratio": 0.9, "sleep_ratio": 0.5}) as it:
        engines[0].kv_used_ratio = engines[1].kv_used_ratio = 0.3
        for _ in range(20):
            await it.ask("GET", "/livez")
        shown = await it.ask("GET", "/v1/engines", authorization="Bearer k")
        assert [engine["state"] for engine in shown.json["data"]] == ["well", "well"]


async def test_a_turn_that_waits_for_a_cache_wakes_a_spare() -> None:
    used = Usage(prompt_tokens=6000, completion_tokens=10)
    own = {"type": "function", "function": {"name": "mine"}}
    engines = pair(asleep=True)
    engines[0].turns = (turn(call("mine"), reason="tool_calls", usage=used),)
    engines[0].kv_tokens = 10_000
    body = {"messages": [{"role": "user", "content": "x" * 24_000}], "tools": [own]}
    programs = {"patience": 1e9}
    async with served(*engines, spares=LAZY, programs=programs) as it, asyncio.timeout(20):
        await it.ask("POST", "/v1/chat/completions", body, x_session_id="first")
        waits = asyncio.create_task(
            it.ask("POST", "/v1/chat/completions", body, x_session_id="second")
        )
        await until(it, "engine_wakes_total", engine="b", reason="load")
        third = await it.ask("POST", "/v1/chat/completions", body, x_session_id="third")
        assert third.headers["x-roundhouse-engine"] == "b"
        await it.ask("DELETE", "/v1/sessions/first")
        assert (await waits).status == 200


async def test_the_schedule_wakes_a_spare_before_there_is_load() -> None:
    day = [{"start": "00:00", "end": "12:00"}, {"start": "12:00", "end": "00:00"}]
    engines = pair(asleep=True)
    async with house(*engines, **PROMPT, windows=day) as it:
        await until(it, "engine_wakes_total", engine="b", reason="schedule")
        for _ in range(20):
            await it.ask("GET", "/livez")
        assert not engines[1].is_asleep, "however little there is to do"


async def test_a_spare_takes_over_when_the_last_awake_engine_dies() -> None:
    engines = pair(asleep=True)
    async with house(*engines, **LAZY) as it:
        engines[0].died.set()
        refused = await it.chat()
        if refused.status != 200:  # it may be awake already
            assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        await until(it, "engine_wakes_total", engine="b", reason="too_few")
        assert (await it.chat()).headers["x-roundhouse-engine"] == "b"


async def test_what_runs_on_a_spare_ends_before_it_sleeps() -> None:
    gate = asyncio.Event()
    engines = pair()
    engines[1].turns = ([gate, *HELLO], HELLO)
    async with house(*engines, **LAZY) as it:
        engines[0].kv_used_ratio = 0.3  # so that the first goes to b
        running = asyncio.create_task(it.chat(session_id="s"))
        await engines[1].asked.wait()
        sleeping = asyncio.create_task(order(it, "sleep"))
        await until(it, "engine_asleep", engine="b")
        assert (await it.chat(session_id="t")).headers["x-roundhouse-engine"] == "a"
        assert not sleeping.done() and not engines[1].is_asleep
        gate.set()
        assert (await running).headers["x-roundhouse-engine"] == "b"
        assert (await sleeping).json["state"] == "asleep"
        assert it.metric("engine_programs", engine="b") == 0, "nobody is at home there any more"
        moved = await it.chat(session_id="s")
        assert moved.headers["x-roundhouse-why"].startswith("moved:asleep")
        assert it.metric("session_moves_total", reason="asleep") == 1
        assert it.metric("engine_sleeps_total", engine="b", reason="operator") == 1


async def test_a_session_does_not_return_to_a_cache_that_sleep_has_emptied() -> None:
    engines = pair()
    async with house(*engines, **LAZY) as it:
        engines[0].kv_used_ratio = 0.3
        assert (await it.chat(session_id="s")).headers["x-roundhouse-engine"] == "b"
        await order(it, "sleep")
        await order(it, "wake")
        engines[0].kv_used_ratio, engines[1].kv_used_ratio = 0.0, 0.3
        again = await it.chat(session_id="s")
        assert again.headers["x-roundhouse-engine"] == "a"


async def test_an_engine_whose_turns_do_not_end_stays_awake() -> None:
    gate = asyncio.Event()
    engines = pair()
    engines[1].turns = ([gate, *HELLO],)
    async with house(*engines, **LAZY, drain_s=0.01) as it:
        engines[0].kv_used_ratio = 0.3
        running = asyncio.create_task(it.chat())
        await engines[1].asked.wait()
        refused = await order(it, "sleep")
        assert (refused.status, refused.error["code"]) == (409, "conflict")
        assert "still had 1 turns" in refused.error["message"]
        shown = await it.ask("GET", "/v1/engines", authorization="Bearer k")
        assert shown.json["data"][1]["state"] == "well"
        gate.set()
        assert (await running).status == 200


async def test_the_last_awake_engine_of_a_model_is_not_sent_to_sleep() -> None:
    engines = pair(asleep=True)
    async with house(*engines, **{**LAZY, "wake_ratio": 1}) as it:
        refused = await order(it, "sleep", "a")
        assert refused.status == 409
        assert "the only one awake that serves 'scripted'" in refused.error["message"]


async def test_an_engine_that_cannot_sleep_says_why_and_goes_on() -> None:
    engines = pair()
    engines[1].sleep_failure = CannotSleep("no sleep mode: do this")
    async with house(*engines, **LAZY) as it:
        refused = await order(it, "sleep")
        assert (refused.status, refused.error["message"]) == (409, "no sleep mode: do this")
        assert it.metric("engine_ready", engine="b") == 1


async def test_an_engine_half_asleep_must_answer_a_token_first() -> None:
    engines = pair()
    engines[1].sleep_failure = EngineFailed("half way")
    failures = {"probe_s": 0.001}
    async with served(*engines, admin_key="k", failures=failures) as it, asyncio.timeout(20):
        assert (await order(it, "sleep")).status == 500
        assert it.metric("engine_ejections_total", engine="b") == 1
        await until(it, "engine_ready", engine="b")
        assert engines[1].calls, "it has been asked"


async def test_a_woken_engine_that_writes_no_token_is_not_used() -> None:
    engines = pair(asleep=True)
    engines[1].turns = ([EngineFailed("its weights are gone")],)
    failures = {"probe_s": 1e6}
    async with served(*engines, admin_key="k", failures=failures) as it, asyncio.timeout(20):
        assert (await order(it, "wake")).status == 500
        engines[0].kv_used_ratio = 0.5
        assert (await it.chat()).headers["x-roundhouse-engine"] == "a"
        assert it.metric("engine_ready", engine="b") == 0
        assert it.metric("engine_wakes_total", engine="b", reason="operator") == 0


async def test_a_spare_that_does_not_wake_is_left_alone_and_the_next_is_woken() -> None:
    first, second = pair(asleep=True)
    third = ScriptedEngine(HELLO, name="c")
    third.spare = third.is_asleep = True
    second.wake_failure = EngineFailed("stuck")
    async with house(first, second, third, **LAZY) as it:
        first.kv_used_ratio = 0.9
        await until(it, "engine_wakes_total", engine="c", reason="load")
        assert second.is_asleep and it.metric("engine_asleep", engine="b") == 1


async def test_a_drained_spare_is_not_woken_by_load() -> None:
    engines = pair(asleep=True)
    async with house(*engines, **LAZY) as it:
        await order(it, "drain")
        engines[0].kv_used_ratio = 1.0
        for _ in range(20):
            await it.ask("GET", "/livez")
        assert engines[1].is_asleep
        await order(it, "resume")
        await until(it, "engine_wakes_total", engine="b", reason="load")


async def test_sleep_is_no_illness() -> None:
    async with house(*pair(asleep=True), **{**LAZY, "wake_ratio": 1}) as it:
        health = await it.ask("GET", "/health")
        assert (health.status, health.json["engines"]["b"]) == (200, "asleep")
        assert (await it.ask("GET", "/readyz")).status == 200
        again = await order(it, "sleep")
        assert (again.status, again.json["state"], again.json["spare"]) == (200, "asleep", True)


@pytest.mark.parametrize("what", ["sleep", "wake"])
async def test_only_the_operator_gives_orders(what: str) -> None:
    async with house(*pair(), **LAZY) as it:
        assert (await order(it, what, key="")).status == 401
        assert (await order(it, what, "nobody")).status == 404


async def test_a_server_met_over_http_sleeps_and_wakes_under_load() -> None:
    """Two servers that speak vLLM's sleep endpoints; asleep, they answer nobody."""
    upstreams = Upstream(says()), Upstream(says())
    page = "vllm:num_requests_running 0.0\nvllm:kv_cache_usage_perc {}\n"
    for upstream in upstreams:
        upstream.sleeps, upstream.metrics = False, page.format("0.1")
    async with upstreams[0].running(), upstreams[1].running():
        quick = {"load_s": 0.01}
        engines = [
            upstream.engine(name=name, spare=name == "b", http=quick)
            for upstream, name in zip(upstreams, "ab", strict=True)
        ]
        async with house(*engines, **PROMPT) as it:
            await until(it, "engine_sleeps_total", engine="b", reason="quiet")
            assert upstreams[1].sleeps
            answers = await asyncio.gather(*(it.chat(stream=True, model="here") for _ in range(8)))
            assert {a.headers["x-roundhouse-engine"] for a in answers} == {"a"}
            upstreams[0].metrics = page.format("0.9")
            await until(it, "engine_wakes_total", engine="b", reason="load")
            answers = await asyncio.gather(*(it.chat(stream=True, model="here") for _ in range(8)))
            assert {a.headers["x-roundhouse-engine"] for a in answers} >= {"b"}
            assert all(a.status == 200 for a in answers)
