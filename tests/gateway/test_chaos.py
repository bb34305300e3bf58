"""Servers that fail under load: every request has one outcome, and they are counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from engine.errors import EngineAway
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service
from tests.parts.upstream import (
    DONE,
    HELLO,
    Upstream,
    breaks_off,
    chunk,
    floods,
    hangs,
    hangs_up,
    refuses,
    says,
)

FULL = {"error": {"message": "the queue is full", "type": "overloaded"}}
BROKEN = {"error": {"message": "out of memory", "type": "server_error"}}
NAMES = "abcd"


@asynccontextmanager
async def fleet(
    upstreams: Sequence[Upstream], http: dict[str, object] | None = None, **settings: object
) -> AsyncGenerator[Served]:
    """A gateway before these servers, all of them well at its start."""
    async with AsyncExitStack() as stack:
        for upstream in upstreams:
            await stack.enter_async_context(upstream.running())
        engines = [
            upstream.engine(name=name, http=http or {})
            for name, upstream in zip(NAMES, upstreams, strict=False)
        ]
        it = await stack.enter_async_context(served(*engines, **settings))
        await stack.enter_async_context(asyncio.timeout(60))
        yield it


async def ask_all(it: Served, count: int, at_once: int = 8, **fields: Any) -> list[Answer]:
    """So many requests, each of a session of its own."""
    room = asyncio.Semaphore(at_once)

    async def ask(number: int) -> Answer:
        async with room:
            return await it.chat(session_id=f"s-{number}", **fields)

    return await asyncio.gather(*(ask(number) for number in range(count)))


def statuses(answers: Sequence[Answer]) -> dict[int, int]:
    return dict(Counter(answer.status for answer in answers))


@pytest.mark.parametrize("manner", [refuses(500, BROKEN), hangs_up, refuses(401, b"")])
@pytest.mark.parametrize("stream", [False, True])
async def test_one_bad_engine_of_four_is_no_clients_error(manner: Any, stream: bool) -> None:
    upstreams = [Upstream(says()) for _ in range(4)]
    async with fleet(upstreams) as it:
        upstreams[0].manner = manner
        answers = await ask_all(it, 80, stream=stream)
        assert statuses(answers) == {200: 80}
        assert it.metric("engine_ejections_total", engine="a") == 1
        assert it.metric("engine_ready", engine="a") == 0
    assert sum(len(upstream.asked) for upstream in upstreams[1:]) == 80
    assert sum(len(upstream.asked) for upstream in upstreams) <= 80 * 1.2
    assert it.outcomes() == {"ok": 80}


async def test_a_burst_of_refusals_ends_when_it_ends() -> None:
    upstreams = [Upstream(says()) for _ in range(4)]
    retries = {"retry_burst": 5, "retry_ratio": 0.2}
    async with fleet(upstreams, failures=retries) as it:
        for upstream in upstreams:
            upstream.manner = refuses(503, FULL, **{"retry-after": "7"})
        burst = await ask_all(it, 50)
        assert statuses(burst) == {429: 50}
        assert {answer.headers["retry-after"] for answer in burst} == {"7"}
        assert sum(len(upstream.asked) for upstream in upstreams) <= 50 * 1.2 + 5
        assert sum(it.metric("engine_refusals_total", engine=name) for name in NAMES) >= 50
        assert all(it.metric("engine_ready", engine=name) for name in NAMES)
        for upstream in upstreams:
            upstream.manner = says()
        assert statuses(await ask_all(it, 50)) == {200: 50}


async def test_one_full_engine_sends_its_sessions_to_the_others() -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    async with fleet(upstreams) as it:
        first = await it.chat(session_id="s")
        assert first.headers["x-roundhouse-engine"] == "a"
        upstreams[0].manner = refuses(429, FULL)
        answers = [await it.chat(session_id="s") for _ in range(3)]
    assert [a.headers["x-roundhouse-engine"] for a in answers] == ["b", "b", "b"]
    assert len(upstreams[0].asked) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_dies_in_the_middle_is_named_in_the_one_last_event(
    stream: bool,
) -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    async with fleet(upstreams) as it:
        upstreams[0].manner = breaks_off
        first = await it.chat(session_id="s", stream=True)
        events = first.content.strip().split(b"\n\n")
        error = msgspec.json.decode(events[-1].removeprefix(b"data: "))["error"]
        assert error["code"] == "engine_unavailable"
        assert "engine 'a'" in error["message"]
        assert first.content.count(b'"error"') == 1
        assert DONE not in first.content
        assert b"Hel" in first.content, "what came before is not lost"
        upstreams[0].manner = says()
        again = await it.chat(session_id="s", stream=stream)
        assert again.status == 200
    assert it.outcomes() == {"engine_error": 1, "ok": 1}
    assert it.metric("engine_failures_total", engine="a") == 1


async def test_a_server_that_hangs_costs_its_first_requests_a_wait_and_no_error() -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    async with fleet(upstreams, http={"first_byte_s": 0.05}, failures={"probe_s": 60}) as it:
        upstreams[0].manner = hangs
        answers = await ask_all(it, 20, stream=True)
        assert statuses(answers) == {200: 20}
        assert all(answer.content.endswith(DONE) for answer in answers)
        assert it.metric("engine_ready", engine="a") == 0
        assert it.metric("retries_total", outcome="sent") >= 3
    assert len(upstreams[1].asked) == 20


async def test_a_tool_loop_goes_on_where_another_engine_lives() -> None:
    """Between two of its turns the whole conversation is known, so any engine can go on."""
    first = ScriptedEngine(
        turn(call("search"), reason="tool_calls"), [EngineAway("gone")], name="a"
    )
    second = ScriptedEngine(turn(text("found it")), name="b")
    server: list[object] = [{"type": "mcp", "server_label": "roundhouse"}]
    async with (
        tools_service(ScriptedTool()) as url,
        served(first, second, tools={"url": url}) as it,
    ):
        answer = await it.chat(tools=server)
        assert answer.json["choices"][0]["message"]["content"] == "found it"
        assert it.metric("retries_total", outcome="sent") == 1
        assert it.metric("session_moves_total", reason="failed") == 1
    body: dict[str, Any] = dict(second.calls[0].body)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant", "tool"]
    assert it.outcomes() == {"ok": 1}


async def test_retries_end_with_their_budget() -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    failures = {"retry_ratio": 0, "retry_burst": 1, "in_a_row": 100}
    async with fleet(upstreams, failures=failures) as it:
        for upstream in upstreams:
            upstream.manner = refuses(500, BROKEN)
        answers = await ask_all(it, 5, at_once=1)
        assert statuses(answers) == {500: 5}
        assert it.metric("retries_total", outcome="sent") == 1
        assert it.metric("retries_total", outcome="no_budget") == 4
    assert sum(len(upstream.asked) for upstream in upstreams) == 6


async def test_what_is_wrong_with_a_request_is_not_tried_elsewhere() -> None:
    upstreams = [Upstream(says()) for _ in range(2)]
    async with fleet(upstreams) as it:
        for upstream in upstreams:
            upstream.manner = refuses(400, {"error": {"message": "bad", "param": "top_p"}})
        answers = await ask_all(it, 10)
        assert statuses(answers) == {400: 10}
        assert answers[0].error["param"] == "top_p"
        assert all(it.metric("engine_ready", engine=name) for name in "ab")
    assert sum(len(upstream.asked) for upstream in upstreams) == 10


async def test_a_server_that_comes_late_or_back_is_served_again_without_a_restart() -> None:
    upstream, other = Upstream(says()), ScriptedEngine(turn(text("Hi")), name="near", model="here")
    async with upstream.running():
        port = int(upstream.url.rpartition(":")[2])
    engine = upstream.engine(name="a")
    async with (
        asyncio.timeout(30),
        served(engine, other, failures={"probe_s": 0.01}) as it,
    ):
        assert it.metric("engine_ready", engine="a") == 0
        assert (await it.chat()).headers["x-roundhouse-engine"] == "near"
        other.died.set()
        alone = await it.chat()
        assert (alone.status, alone.error["code"]) == (503, "engine_unavailable")
        assert alone.headers["retry-after"] == "1"
        async with upstream.running(port):
            while not it.metric("engine_ready", engine="a"):
                await it.ask("GET", "/livez")
            assert upstream.probes
            assert (await it.chat()).status == 200
            assert (await it.ask("GET", "/readyz")).status == 200
        gone = await it.chat()
        assert gone.status == 503
        async with upstream.running(port):
            assert (await it.chat()).status == 200, "asked although nobody has probed it"


async def test_a_client_that_goes_away_hangs_up_on_the_server() -> None:
    upstream = Upstream(says())
    async with fleet([upstream]) as it:
        upstream.manner = says([HELLO[0], asyncio.Event()])
        asking = asyncio.create_task(it.chat(stream=True))
        await upstream.begun.wait()
        asking.cancel()
        await upstream.left.wait()
        while it.metric("engine_requests", engine="a"):
            await it.ask("GET", "/livez")
    assert it.outcomes() == {"disconnected": 1}


async def test_a_client_that_reads_slowly_holds_up_its_server_and_nobody_else() -> None:
    upstreams = [Upstream(says()), Upstream(says())]
    async with fleet(upstreams) as it:
        upstreams[0].manner = floods
        _, writer = await asyncio.open_connection(
            "127.0.0.1", int(it.url.rpartition(":")[2]), limit=1
        )
        body = b'{"messages":[{"role":"user","content":"hi"}],"stream":true}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + body)
        await upstreams[0].begun.wait()
        before = -1
        while before != upstreams[0].sent:
            before = upstreams[0].sent
            assert (await it.chat(session_id="other")).status == 200
        assert 0 < upstreams[0].sent < 2**25
        writer.close()
        await upstreams[0].left.wait()
        while "disconnected" not in it.outcomes():
            await it.ask("GET", "/livez")


async def test_tenfold_overload_is_refused_at_the_door_with_a_time_to_come_again() -> None:
    gate = asyncio.Event()
    upstream = Upstream(says())
    async with fleet([upstream], queue={"running": 4, "waiting": 8}) as it:
        upstream.manner = says([chunk(content="x"), gate, *HELLO])
        asking = [
            asyncio.create_task(it.chat(session_id=f"s-{number}", stream=True))
            for number in range(120)
        ]
        while sum(task.done() for task in asking) < 108:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
        gate.set()
        answers = await asyncio.gather(*asking)
    assert statuses(answers) == {200: 12, 429: 108}
    for answer in answers:
        if answer.status == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 59
        else:
            assert answer.content.count(DONE) == 1
    assert len(upstream.asked) == 12
    assert it.outcomes() == {"ok": 12, "refused": 108}


async def test_stopping_lets_streams_of_servers_end_and_cuts_those_that_do_not() -> None:
    gate = asyncio.Event()
    upstream = Upstream(says())
    async with fleet([upstream], shutdown_s=0.01) as it:
        upstream.manner = says([HELLO[1], gate])
        asking = asyncio.create_task(it.chat(stream=True))
        await upstream.begun.wait()
        await it.gateway.stop()
        answer = await asking
        assert b"engine_unavailable" in answer.content.split(b"\n\n")[-2]
    assert it.outcomes() == {"engine_error": 1}
