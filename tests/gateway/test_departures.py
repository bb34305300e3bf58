"""Clients that come too late, wait too long or go away."""

import asyncio

import pytest

from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))


CHAT = "/v1/chat/completions"


SERVER = {"type": "mcp", "server_label": "roundhouse"}


def ask(it: Served, **fields: object) -> asyncio.Task[Answer]:
    return asyncio.create_task(it.chat(**fields))


async def test_a_full_gateway_refuses_and_says_when_to_come_again() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1, "waiting": 0}) as it:
        async with asyncio.timeout(5):
            running = ask(it)
            await engine.asked.wait()
            answer = await it.chat()
            assert (answer.status, answer.error["code"]) == (429, "queue_full")
            assert answer.error["type"] == "rate_limit_error"
            assert 1 <= int(answer.headers["retry-after"]) <= 59
            gate.set()
            assert (await running).status == 200
    assert it.outcomes() == {"ok": 1, "refused": 1}


async def test_who_could_not_even_wait_costs_nothing_and_pushes_no_session_out() -> None:
    """Under an overload the sessions of refused requests pushed those of served ones out."""
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    full = {"queue": {"running": 1, "waiting": 0}, "api_keys": ["k"], "sessions": {"live": 1}}
    async with served(engine, **full) as it, asyncio.timeout(5):
        key = {"authorization": "Bearer k"}
        body = {"messages": [{"role": "user", "content": "hi"}], "session_id": "served"}
        running = asyncio.create_task(it.ask("POST", CHAT, body, **key))
        await engine.asked.wait()
        refused = await it.ask("POST", CHAT, b"not read", **key)
        assert (refused.status, refused.error["code"]) == (429, "queue_full")
        assert (await it.ask("POST", CHAT, {**body, "session_id": "new"}, **key)).status == 429
        assert (await it.ask("POST", CHAT, b"not read")).status == 401, "keys come first"
        assert it.metric("sessions_recognised_total", by="name") == 1
        gate.set()
        assert (await running).headers["x-roundhouse-session"] == "served"
        assert (await it.ask("GET", "/v1/sessions/served", **key)).status == 200
    assert it.outcomes() == {"ok": 1, "refused": 2, "client_error": 1}


async def test_who_waits_too_long_is_refused() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1, "wait_s": 0.001}) as it:
        async with asyncio.timeout(5):
            running = ask(it)
            await engine.asked.wait()
            answer = await it.chat()
            assert (answer.status, answer.error["code"]) == (429, "queue_timeout")
            gate.set()
            await running
    assert it.outcomes() == {"ok": 1, "refused": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_aborts_in_the_engine(stream: bool) -> None:
    engine = ScriptedEngine([*HELLO[:2], asyncio.Event()])
    async with served(engine) as it, asyncio.timeout(5):
        asking = ask(it, stream=stream)
        await engine.asked.wait()
        asking.cancel()
        await engine.left.wait()
    assert it.outcomes() == {"disconnected": 1}
    assert (it.gateway.queue.running, len(it.gateway.sessions)) == (0, 0)


async def test_a_client_that_goes_away_in_the_queue_frees_its_room() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1}) as it, asyncio.timeout(5):
        running = ask(it)
        await engine.asked.wait()
        waiting = ask(it)
        await _until(it, "depth", 1)
        waiting.cancel()
        await _until(it, "depth", 0)
        gate.set()
        await running
    assert it.outcomes() == {"ok": 1, "disconnected": 1}
    assert len(engine.calls) == 1


async def _until(it: Served, name: str, value: int) -> None:
    """Keep the event loop and the sockets going until the queue is so."""
    while getattr(it.gateway.queue, name) != value:
        await it.ask("GET", "/livez")


async def test_a_client_that_goes_away_in_the_middle_of_a_tool_call_stops_the_tool() -> None:
    tool = ScriptedTool(gate=asyncio.Event())
    engine = ScriptedEngine(turn(call("search"), reason="tool_calls"), HELLO)
    async with (
        asyncio.timeout(5),
        tools_service(tool) as url,
        served(engine, tools={"url": url}) as it,
    ):
        asking = ask(it, tools=[SERVER], stream=True)
        await tool.started.wait()
        asking.cancel()
        await tool.left.wait()
    assert it.outcomes() == {"disconnected": 1}


async def test_a_client_that_goes_away_before_its_body_is_whole_is_counted_too() -> None:
    async with served(ScriptedEngine(HELLO)) as it, asyncio.timeout(5):
        _, writer = await asyncio.open_connection("127.0.0.1", int(it.url.rpartition(":")[2]))
        writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{".encode())
        while not it.server.server_state.tasks:
            await it.ask("GET", "/livez")
        writer.close()
        await writer.wait_closed()
        while not it.outcomes():
            await it.ask("GET", "/livez")
    assert it.outcomes() == {"disconnected": 1}


async def test_what_the_server_cuts_off_is_not_counted_as_ok() -> None:
    """Cancelled requests were counted as answered."""
    engine = ScriptedEngine([*HELLO[:2], asyncio.Event()])
    async with served(engine) as it, asyncio.timeout(5):
        asking = ask(it)
        await engine.asked.wait()
        for task in it.server.server_state.tasks:
            task.cancel()
        await engine.left.wait()
        asking.cancel()
    assert it.outcomes() == {"stopped": 1}
