"""GET and DELETE /v1/sessions over a real socket."""

import asyncio
from typing import Any, Literal

import pytest

from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import served

HELLO = turn(text("Hello"))
KEYS = {"api_keys": ["one", "two"]}
ONE, TWO = {"authorization": "Bearer one"}, {"authorization": "Bearer two"}
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


class Gate(asyncio.Event):
    """An event that tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def wait(self) -> Literal[True]:
        """Tell, and wait."""
        self.reached.set()
        return await super().wait()


async def test_a_session_is_shown_with_what_its_agent_does() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(HELLO, [gate, *HELLO])
    async with served(engine) as it, asyncio.timeout(10):
        await it.chat(session_id="s")
        names = {"x_session_id": "s", "x_agent_name": "critic", "x_roundhouse_group": "g"}
        asking = asyncio.create_task(it.ask("POST", "/v1/chat/completions", BODY, **names))
        engine.asked.clear()
        await engine.asked.wait()
        running = (await it.ask("GET", "/v1/sessions/s")).json
        gate.set()
        await asking
        waiting = (await it.ask("GET", "/v1/sessions/s")).json
    assert running.pop("idle_s") >= 0
    assert running == {
        "id": "s",
        "object": "session",
        "group": "g",
        "parent": None,
        "agent": "critic",
        "phase": "generating",
        "engine": "zero",
        "requests": 2,
        "running": 1,
        "turns": 1,
        "tokens": 5,
        "recognised_by": "name",
    }
    assert (waiting["phase"], waiting["running"]) == ("waiting_for_client", 0)


async def test_sessions_come_in_pages_the_newest_first() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        for number in range(5):
            await it.chat(session_id=f"s/{number}")
        await it.chat(session_id="s/0")
        seen, path = [], "/v1/sessions?limit=2"
        while path:
            page = (await it.ask("GET", path)).json
            assert page["object"] == "list"
            assert page["first_id"] == page["data"][0]["id"]
            seen.append([session["id"] for session in page["data"]])
            more = f"/v1/sessions?limit=2&after={page['last_id']}"
            path = more if page["has_more"] else ""
    assert seen == [["s/4", "s/3"], ["s/2", "s/1"], ["s/0"]]


async def test_a_key_sees_and_ends_its_own_sessions_only() -> None:
    async with served(ScriptedEngine(HELLO), **KEYS) as it:
        await it.ask("POST", "/v1/chat/completions", {**BODY, "session_id": "s"}, **ONE)
        for method in ("GET", "DELETE"):
            assert (await it.ask(method, "/v1/sessions/s", **TWO)).error["code"] == (
                "session_not_found"
            )
        assert (await it.ask("GET", "/v1/sessions", **TWO)).json["data"] == []
        assert len((await it.ask("GET", "/v1/sessions", **ONE)).json["data"]) == 1
        for path in ("/v1/sessions", "/v1/sessions/s"):
            assert (await it.ask("GET", path)).status == 401


async def test_an_ended_session_is_forgotten_with_all_that_led_back_to_it() -> None:
    engine = ScriptedEngine(turn(call("mine", id="chatcmpl-tool-0123456789abcdef")), HELLO)
    async with served(engine) as it:
        first = (await it.chat()).headers["x-roundhouse-session"]
        ended = await it.ask("DELETE", f"/v1/sessions/{first}")
        assert ended.json == {"id": first, "object": "session.deleted", "deleted": True}
        assert (await it.ask("DELETE", f"/v1/sessions/{first}")).status == 404
        result = {"role": "tool", "tool_call_id": "chatcmpl-tool-0123456789abcdef", "content": ""}
        again = await it.chat(messages=[*BODY["messages"], result])
        assert again.headers["x-roundhouse-session"] != first


@pytest.mark.parametrize("header", ["x_roundhouse_session_final", "x_dynamo_session_final"])
async def test_a_session_ends_with_the_request_that_says_so(header: str) -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        await it.chat(session_id="s")
        assert len(it.gateway.sessions) == 1
        body = {**BODY, "session_id": "s"}
        await it.ask("POST", "/v1/chat/completions", body, **{header: "true"})
    assert len(it.gateway.sessions) == len(it.gateway.recognition) == 0


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1", "²", "9" * 5000])
async def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask("GET", f"/v1/sessions?limit={limit}")
    assert (answer.status, answer.error["param"]) == (400, "limit")


async def test_a_page_after_a_session_that_is_gone_is_refused() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask("GET", "/v1/sessions?after=gone")
    assert (answer.status, answer.error["param"]) == (400, "after")


async def test_it_is_counted_what_told_the_sessions() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        await it.chat()
        told = {"role": "assistant", "content": "Hello"}
        more = [*BODY["messages"], told, {"role": "user", "content": "and?"}]
        await it.chat(messages=more)
        await it.chat(session_id="s")
        await it.chat(prompt_cache_key="k")
        for by in ("new", "prefix", "name", "cache_key"):
            assert it.metric("sessions_recognised_total", by=by) == 1


async def test_a_sub_agent_named_by_its_client_is_counted_once() -> None:
    names = {"x_session_id": "run", "x_agent_instance": "sub"}
    async with served(ScriptedEngine(HELLO)) as it:
        for _ in range(2):
            answer = await it.ask("POST", "/v1/chat/completions", BODY, **names)
        assert answer.headers["x-roundhouse-session"] == "run/sub"
        assert it.metric("sub_agents_linked_total") == 1
        shown = (await it.ask("GET", "/v1/sessions/run/sub")).json
    assert (shown["parent"], shown["group"]) == ("run", "run")


async def test_a_streamed_call_leads_back_before_its_stream_has_ended() -> None:
    """A client may return with the result as soon as it has the call."""
    gate = Gate()
    started = turn(call("mine", id="chatcmpl-tool-0123456789abcdef"), gate)
    engine = ScriptedEngine(started, HELLO)
    async with served(engine) as it, asyncio.timeout(10):
        asking = asyncio.create_task(it.chat(stream=True))
        await gate.reached.wait()
        result = {"role": "tool", "tool_call_id": "chatcmpl-tool-0123456789abcdef", "content": ""}
        second = await it.chat(messages=[*BODY["messages"], result])
        gate.set()
        first = await asking
    assert first.headers["x-roundhouse-session"] == second.headers["x-roundhouse-session"]
