"""Admission by program, as clients meet it."""

import asyncio

import pytest

from engine.types import Usage
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served

LONG = "x" * 24_000  # about 6000 tokens
USED = Usage(prompt_tokens=6000, completion_tokens=10, cached_tokens=0)
CALLS = turn(call("mine"), reason="tool_calls", usage=USED)
ANSWERS = turn(text("so"), usage=USED)
PATIENT = {"patience": 1e9}  # a script computes a prompt in no time
OWN = {"type": "function", "function": {"name": "mine"}}


def engine(said: list[Step]) -> ScriptedEngine:
    made = ScriptedEngine(said)
    made.kv_tokens = 10_000
    return made


async def ask(
    it: Served, session: str, headers: dict[str, str] | None = None, **more: object
) -> Answer:
    body = {"messages": [{"role": "user", "content": LONG}], "tools": [OWN], **more}
    named = {"x_session_id": session} | (headers or {})
    return await it.ask("POST", "/v1/chat/completions", body, **named)


def stand(it: Served, stand: str) -> float:
    return it.metric("programs", engine="zero", stand=stand)


async def until_waiting(it: Served, programs: int) -> None:
    while stand(it, "waiting") < programs:
        await it.ask("GET", "/livez")


async def test_a_program_that_does_not_fit_waits_for_another_s_end() -> None:
    async with served(engine(CALLS), programs=PATIENT) as it, asyncio.timeout(10):
        assert (await ask(it, "first")).status == 200
        second = asyncio.create_task(ask(it, "second"))
        await until_waiting(it, 1)
        assert (stand(it, "admitted"), it.metric("queue_depth")) == (1, 1)
        assert it.metric("programs_demand_ratio", engine="zero") > 0.7
        assert it.metric("programs_target_ratio", engine="zero") == 0.95
        again = await ask(it, "first")
        assert again.status == 200, "an admitted program's next turn waits for nobody"
        await it.ask("DELETE", "/v1/sessions/first")
        assert (await second).status == 200
        (told,) = (await it.ask("GET", "/v1/sessions/second/timeline")).json["data"]
        assert [held["where"] for held in told["held"]] == ["admission"]
        assert (stand(it, "admitted"), stand(it, "waiting")) == (1, 0)


async def test_who_has_its_answer_makes_room_at_once() -> None:
    async with served(engine(ANSWERS)) as it, asyncio.timeout(10):
        for session in ("first", "second", "third"):
            assert (await ask(it, session)).status == 200
        assert it.metric("programs_set_aside_total", engine="zero") == 2


async def test_without_admission_by_program_nobody_waits() -> None:
    async with served(engine(CALLS), programs={"enabled": False}) as it, asyncio.timeout(10):
        for session in ("first", "second", "third"):
            assert (await ask(it, session)).status == 200


async def test_the_higher_tier_goes_first_and_then_the_lower_number() -> None:
    scripted = engine(CALLS)
    async with served(scripted, programs=PATIENT) as it, asyncio.timeout(10):
        await ask(it, "first")
        waiting = []
        wishes: tuple[dict[str, object], ...] = (
            {"service_tier": "flex"},
            {"priority": 5},
            {},
            {"service_tier": "priority"},
        )
        for number, wish in enumerate(wishes):
            waiting.append(asyncio.create_task(ask(it, f"s{number}", None, seed=number, **wish)))
            await until_waiting(it, number + 1)
        # Nobody gets a tier above its key's: "priority" is "default" here, and came later.
        for session in ("first", "s2", "s3", "s1"):
            asked = len(scripted.calls)
            await it.ask("DELETE", f"/v1/sessions/{session}")
            while len(scripted.calls) == asked:
                await it.ask("GET", "/livez")
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting = [task for task in waiting if task not in done]
        assert not waiting
    assert [called.body["seed"] for called in scripted.calls[1:]] == [2, 3, 1, 0]


@pytest.mark.parametrize("header", ["x_roundhouse_deadline", "x_stainless_read_timeout"])
async def test_who_cannot_be_served_in_time_is_told_so(header: str) -> None:
    async with served(engine(CALLS), programs=PATIENT) as it, asyncio.timeout(10):
        await ask(it, "first")
        refused = await ask(it, "second", {header: "0.01"})
        assert (refused.status, refused.error["code"]) == (429, "deadline")
        assert int(refused.headers["retry-after"]) >= 1
        assert stand(it, "waiting") == 0


async def test_a_deadline_holds_in_the_queue_too_where_no_cache_is_known() -> None:
    gate = asyncio.Event()
    scripted = ScriptedEngine([gate, *ANSWERS])
    async with served(scripted, queue={"running": 1}) as it, asyncio.timeout(10):
        first = asyncio.create_task(ask(it, "first"))
        await scripted.asked.wait()
        refused = await ask(it, "second", {"x_roundhouse_deadline": "0.01"})
        assert (refused.status, refused.error["code"]) == (429, "deadline")
        gate.set()
        assert (await first).status == 200
        assert it.metric("queue_depth") == 0


@pytest.mark.parametrize("said", ["soon", "0", "-1", "inf", "nan"])
async def test_a_deadline_is_a_number_of_seconds(said: str) -> None:
    async with served(engine(CALLS), programs=PATIENT) as it:
        refused = await ask(it, "first", {"x_roundhouse_deadline": said})
    assert (refused.status, refused.error["param"]) == (400, "x-roundhouse-deadline")


async def test_a_client_that_leaves_while_it_waits_is_forgotten() -> None:
    async with served(engine(CALLS), programs=PATIENT) as it, asyncio.timeout(10):
        await ask(it, "first")
        leaving = asyncio.create_task(ask(it, "second"))
        await until_waiting(it, 1)
        leaving.cancel()
        while stand(it, "waiting"):
            await it.ask("GET", "/livez")
        assert (it.metric("queue_depth"), it.metric("requests_running")) == (0, 0)


async def test_who_waits_when_the_gateway_stops_hears_of_it() -> None:
    async with served(engine(CALLS), programs=PATIENT) as it, asyncio.timeout(10):
        await ask(it, "first")
        waiting = asyncio.create_task(ask(it, "second"))
        await until_waiting(it, 1)
        await it.gateway.stop()
        refused = await waiting
    assert (refused.status, refused.error["code"]) == (503, "shutting_down")


async def test_no_more_wait_than_the_queue_may_hold() -> None:
    async with (
        served(engine(CALLS), programs=PATIENT, queue={"waiting": 1}) as it,
        asyncio.timeout(10),
    ):
        await ask(it, "first")
        waiting = asyncio.create_task(ask(it, "second"))
        await until_waiting(it, 1)
        refused = await ask(it, "third")
        assert (refused.status, refused.error["code"]) == (429, "queue_full")
        await it.ask("DELETE", "/v1/sessions/first")
        assert (await waiting).status == 200
