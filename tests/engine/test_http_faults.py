"""What goes wrong with a server met over HTTP, and whose fault it is."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from engine.errors import (
    BadCall,
    ContextOverflow,
    EngineAway,
    EngineBusy,
    EngineError,
    EngineFailed,
    NotReady,
)
from engine.types import Event, Finished
from tests.engine.http_calls import answered, ask, call, passed
from tests.parts.upstream import (
    DONE,
    HELLO,
    Upstream,
    breaks_off,
    floods,
    hangs,
    hangs_up,
    line,
    refuses,
    says,
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": {"message": "bad temperature", "param": "temperature"}}, BadCall, "bad"),
        (400, {"object": "error", "message": "flat, as vLLM once was"}, BadCall, "flat"),
        (422, {"detail": [{"msg": "field required"}]}, BadCall, "field required"),
        (400, {"error": {"message": "maximum context length is 9"}}, ContextOverflow, "9"),
        (400, {"error": {"code": "context_length_exceeded"}}, ContextOverflow, ""),
        (401, {"error": "Unauthorized"}, EngineFailed, "key"),
        (403, b"", EngineFailed, "key"),
        (404, {"error": {"message": "no such model"}}, EngineFailed, "no such model"),
        (429, {"error": {"message": "slow down"}}, EngineBusy, "slow down"),
        (503, {"error": {"message": "queue is full"}}, EngineBusy, "queue is full"),
        (503, b"<html>no server", EngineAway, "503"),
        (502, b"", EngineAway, "502"),
        (500, {"error": {"message": "out of memory"}}, EngineFailed, "out of memory"),
        (200, b"<html>", EngineFailed, "not OpenAI's"),
        (200, {"error": {"message": "late"}}, EngineFailed, "late"),
    ],
)
async def test_an_error_is_put_down_to_whose_fault_it_is(
    status: int, body: object, kind: type[EngineError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        await answered(Upstream(refuses(status, body)), call(stream=False))
    assert type(caught.value) is kind
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("7", 7), ("2.5", 2.5), ("0", 1), ("-3", 1), ("1e9", 59), ("nan", 1), ("tomorrow", 1)],
)
async def test_who_is_refused_hears_when_to_come_again(said: str, meant: float) -> None:
    manner = refuses(429, {"error": {"message": "full"}}, **{"retry-after": said})
    with pytest.raises(EngineBusy) as caught:
        await answered(Upstream(manner), call())
    assert caught.value.retry_after_s == meant


async def test_a_wrong_field_is_named() -> None:
    body = {"error": {"message": "bad", "param": "temperature"}}
    with pytest.raises(BadCall) as caught:
        await answered(Upstream(refuses(400, body)), call())
    assert caught.value.param == "temperature"


@pytest.mark.parametrize("verbatim", [True, False])
async def test_an_error_within_a_stream_ends_it(verbatim: bool) -> None:
    pieces = [HELLO[1], line({"error": {"message": "engine died"}}), DONE]
    with pytest.raises(EngineFailed, match="engine died"):
        await answered(Upstream(says(pieces)), call(verbatim=verbatim))


@pytest.mark.parametrize("verbatim", [True, False])
@pytest.mark.parametrize("manner", [breaks_off, says(HELLO[:3])])
async def test_a_stream_that_is_cut_off_is_an_error_after_whole_events(
    manner: Any, verbatim: bool
) -> None:
    upstream, events = Upstream(says()), list[Event]()
    async with upstream.running():
        engine = upstream.engine()
        await engine.start()
        upstream.manner = manner
        with pytest.raises(EngineAway, match="engine 'far'"):
            async with aclosing(engine.generate(call(verbatim=verbatim))) as stream:
                async for event in stream:
                    events.append(event)
        await engine.close()
    assert not passed(events) or passed(events).endswith(b"\n\n")
    assert not any(isinstance(event, Finished) for event in events)


@pytest.mark.parametrize(
    ("manner", "http", "said"),
    [
        (hangs, {"first_byte_s": 0.01}, "sent nothing for too long"),
        (says([HELLO[1], asyncio.Event()]), {"idle_s": 0.01}, "sent nothing for too long"),
        (hangs_up, {}, "closed the connection"),
    ],
)
async def test_a_server_that_hangs_is_away(manner: Any, http: dict[str, object], said: str) -> None:
    upstream = Upstream(says())
    async with upstream.running():
        engine = upstream.engine(http=http)
        await engine.start()
        upstream.manner = manner
        with pytest.raises(EngineAway, match=said):
            await ask(engine, call())
        await engine.close()


async def test_a_server_that_keeps_one_waiting_while_it_works_for_others_is_busy() -> None:
    """Taken for a failure, overload would put every engine out of the routing, one by one."""
    upstream, tokens = Upstream(says()), 0

    async def waits(_: Upstream, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal tokens
        while True:
            tokens += 1
            upstream.metrics = f"vllm:generation_tokens_total {tokens}\n"
            await asyncio.sleep(0)

    async with upstream.running():
        upstream.metrics = "vllm:generation_tokens_total 0\n"
        engine = upstream.engine(http={"first_byte_s": 0.5, "load_s": 0.001})
        await engine.start()
        upstream.manner = waits
        with pytest.raises(EngineBusy, match="working for others"):
            await ask(engine, call())
        await engine.close()


async def test_a_whole_answer_may_take_its_own_time_only() -> None:
    upstream = Upstream(says())
    async with upstream.running():
        engine = upstream.engine(http={"answer_s": 0.01})
        upstream.manner = hangs
        with pytest.raises(NotReady, match="sent nothing for too long"):
            await engine.start()
        await engine.close()


async def test_a_server_that_is_not_there_is_not_ready_and_may_come_later() -> None:
    upstream = Upstream(says())
    async with upstream.running():
        port = int(upstream.url.rpartition(":")[2])
    engine = upstream.engine()
    with pytest.raises(NotReady, match="can't be reached"):
        await engine.start()
    async with upstream.running(port):
        assert passed(await ask(engine, call())).endswith(DONE)
        await engine.check_health(5)
        assert engine.max_model_len == 4096
    await engine.close()
    assert not engine.died.is_set()


async def test_closing_the_call_hangs_up_on_the_server() -> None:
    upstream = Upstream(says([HELLO[0], asyncio.Event()]))
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine()
        await engine.start()
        async with aclosing(engine.generate(call())) as events:
            await anext(events)
            assert engine.load().running == 1
        await upstream.left.wait()
        assert engine.load().running == 0
        assert await engine.drain(1)
        await engine.close()


async def test_closing_the_engine_ends_what_runs() -> None:
    upstream = Upstream(says([HELLO[0], asyncio.Event()]))
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine()
        await engine.start()
        async with aclosing(engine.generate(call())) as events:
            await anext(events)
            assert not await engine.drain(0.001)
            await engine.close()
            with pytest.raises(EngineAway):
                await anext(events)
        with pytest.raises(EngineAway, match="not running"):
            await ask(engine, call())


async def test_a_server_that_is_read_slowly_is_held_up() -> None:
    """Nothing in between collects what the client does not take."""
    upstream = Upstream(floods)
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine()
        await engine.start()
        async with aclosing(engine.generate(call())) as events:
            await anext(events)
            before = -1
            while before != upstream.sent:
                before = upstream.sent
                await engine.check_health(5)  # turns of the loop, and of the network
        assert upstream.sent < 2**25
        await engine.close()
