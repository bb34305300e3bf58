"""GET /v1/sessions/{id}/timeline and the short form in a header, over a real socket."""

import asyncio
from typing import Any

from engine.errors import EngineAway
from gateway.timeline import NOTICED_S
from tests.parts.engine import ScriptedEngine
from tests.parts.loop import ANSWER, ONE_CALL, SERVER
from tests.parts.redis_server import until
from tests.parts.scripts import text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


async def told(it: Served, session: str, **headers: str) -> list[dict[str, Any]]:
    answer = await it.ask("GET", f"/v1/sessions/{session}/timeline", **headers)
    assert answer.json["object"] == "session.timeline"
    return list(answer.json["data"])


async def test_every_request_tells_why_it_went_where_it_went() -> None:
    one = ScriptedEngine(HELLO, HELLO, [EngineAway("hung up")], name="one")
    two = ScriptedEngine(HELLO, name="two")
    async with served(one, two) as it:
        answers = [await it.chat(session_id="s", stream=stream) for stream in (False, True, False)]
        first, second, third = await told(it, "s")
    assert [p["why"] for p in first["placements"]] == ["fewest_programs"]
    assert [p["why"] for p in second["placements"]] == ["home"]
    assert third["placements"] == [
        {"engine": "one", "why": "home", "failed": "hung up"},
        {"engine": "two", "why": "moved:failed", "failed": None},
    ]
    assert [request["retried"] for request in (first, second, third)] == [0, 0, 1]
    assert [request["outcome"] for request in (first, second, third)] == ["ok"] * 3
    for request in (first, second, third):
        assert (request["prompt_tokens"], request["cached_tokens"]) == (3, 1)
        assert 0 < request["first_token_s"] <= request["total_s"]
    whole, streamed, moved = (answer.headers["x-roundhouse-why"] for answer in answers)
    assert whole.startswith(
        "fewest_programs; waited=0.000; engine=one; cached=1/3; tools=0; total="
    )
    assert streamed == "home; waited=0.000; engine=one"
    assert moved.startswith("moved:failed; waited=0.000; engine=two; retried=1; cached=1/3; ")


async def test_an_only_engine_needs_no_other_reason() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.chat(session_id="s")
    assert answer.headers["x-roundhouse-why"].startswith("only; ")


async def test_a_wait_in_the_queue_is_told_with_its_reason() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1, "waiting": 1}) as it, asyncio.timeout(30):
        asking = [asyncio.create_task(it.chat(session_id="a"))]
        await engine.asked.wait()
        asking.append(asyncio.create_task(it.chat(session_id="b")))
        await until(lambda: it.gateway.queue.depth == 1)
        assert (await it.chat(session_id="c")).status == 429, "and nothing is kept of it"
        await until(lambda: it.gateway.queue.oldest_s > NOTICED_S)
        gate.set()
        await asyncio.gather(*asking)
        assert (await told(it, "a"))[0]["held"] == []
        (held,) = (await told(it, "b"))[0]["held"]
        assert (await it.ask("GET", "/v1/sessions/c/timeline")).status == 404
    assert held["where"] == "queue" and held["seconds"] > NOTICED_S
    assert held["because"] == "1 requests ran, 0 waited before it"


async def test_tools_are_told_with_what_was_expected_and_what_came() -> None:
    engine = ScriptedEngine(ONE_CALL, ANSWER)
    async with (
        tools_service(ScriptedTool(expected_s=(0.5, 1.5))) as url,
        served(engine, tools={"url": url}) as it,
    ):
        answer = await it.chat(session_id="s", tools=[SERVER])
        (request,) = await told(it, "s")
    (tool,) = request["tools"]
    assert (tool["name"], tool["outcome"], tool["expected_s"]) == ("search", "ok", [0.5, 1.5])
    assert (tool["wait_s"], tool["run_s"]) == (0.0, 1.0)
    assert [p["why"] for p in request["placements"]] == ["only", "home"]
    assert "; tools=1; " in answer.headers["x-roundhouse-why"]


async def test_a_running_request_is_told_already() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine) as it, asyncio.timeout(30):
        asking = asyncio.create_task(it.chat(session_id="s"))
        await engine.asked.wait()
        (request,) = await told(it, "s")
        gate.set()
        await asking
    assert (request["outcome"], request["total_s"]) == ("running", None)
    assert request["placements"][0]["engine"] == "zero"


async def test_a_key_sees_the_timelines_of_its_own_sessions_only() -> None:
    one, two = {"authorization": "Bearer one"}, {"authorization": "Bearer two"}
    async with served(ScriptedEngine(HELLO), api_keys=["one", "two"]) as it:
        await it.ask("POST", "/v1/chat/completions", {**BODY, "session_id": "s"}, **one)
        assert len(await told(it, "s", **one)) == 1
        refused = await it.ask("GET", "/v1/sessions/s/timeline", **two)
        assert (refused.status, refused.error["code"]) == (404, "session_not_found")
        assert (await it.ask("GET", "/v1/sessions/s/timeline")).status == 401


async def test_a_timeline_names_parent_and_sub_agents() -> None:
    async def ask(it: Served, session: str, **names: str) -> Answer:
        return await it.ask(
            "POST", "/v1/chat/completions", {**BODY, "session_id": session}, **names
        )

    async with served(ScriptedEngine(HELLO)) as it:
        await ask(it, "lead")
        await ask(it, "helper", x_roundhouse_parent="lead")
        lead = (await it.ask("GET", "/v1/sessions/lead/timeline")).json
        helper = (await it.ask("GET", "/v1/sessions/helper/timeline")).json
    assert (lead["parent"], lead["sub_agents"]) == (None, ["helper"])
    assert (helper["parent"], helper["sub_agents"]) == ("lead", [])


async def test_a_session_that_has_ended_is_still_explained_unless_it_was_deleted() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        ending = {"x_roundhouse_session_final": "true"}
        await it.ask("POST", "/v1/chat/completions", {**BODY, "session_id": "s"}, **ending)
        ended = (await it.ask("GET", "/v1/sessions/s/timeline")).json
        assert (ended["phase"], len(ended["data"])) == ("ended", 1)
        await it.chat(session_id="s")
        await it.ask("DELETE", "/v1/sessions/s")
        assert (await it.ask("GET", "/v1/sessions/s/timeline")).status == 404
