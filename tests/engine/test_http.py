"""A server met over HTTP, as an engine."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from engine.errors import (
    BadCall,
    ContextOverflow,
    EngineAway,
    EngineBusy,
    EngineError,
    EngineFailed,
    NotReady,
    StartFailed,
)
from engine.http.backend import HttpEngine
from engine.types import (
    Call,
    ChoiceDone,
    Delta,
    Event,
    Finished,
    Passed,
    Started,
    ToolCall,
    Usage,
)
from tests.parts.upstream import (
    DONE,
    HELLO,
    USAGE_CHUNK,
    Upstream,
    breaks_off,
    chunk,
    floods,
    hangs,
    hangs_up,
    line,
    refuses,
    says,
    whole,
)

USER = [{"role": "user", "content": "hi"}]
USED = Usage(3, 2, 1)
VLLM_PAGE = """# HELP vllm:num_requests_running Running.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"""


def call(*, stream: bool = True, verbatim: bool = True, **fields: Any) -> Call:
    return Call("chatcmpl-1", "chat", {"messages": USER, **fields}, stream, None, verbatim)


async def ask(engine: HttpEngine, asked: Call) -> list[Event]:
    async with asyncio.timeout(10), aclosing(engine.generate(asked)) as events:
        return [event async for event in events]


async def answered(upstream: Upstream, asked: Call, **settings: object) -> list[Event]:
    """What comes of one call to a server of this manner."""
    async with upstream.running():
        engine = upstream.engine(**settings)
        await engine.start()
        try:
            return await ask(engine, asked)
        finally:
            await engine.close()


def passed(events: Sequence[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Passed))


async def test_a_stream_is_passed_on_with_the_clients_name_of_the_model() -> None:
    upstream = Upstream(says())
    events = await answered(upstream, call(temperature=0.5))
    named = b"".join(HELLO).replace(USAGE_CHUNK, b"").replace(b'"there"', b'"here"')
    assert passed(events) == named
    assert events[-1] == Finished(USED)
    (asked,) = upstream.asked
    assert asked == {
        "messages": USER,
        "temperature": 0.5,
        "model": "there",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert upstream.headers[0]["x-request-id"] == "1"


async def test_usage_is_told_only_to_those_who_asked() -> None:
    told = Call("chatcmpl-1", "chat", {"messages": USER}, True, None, True, include_usage=True)
    events = await answered(Upstream(says()), told)
    assert b'"usage":' in passed(events)
    assert passed(events).endswith(DONE)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
async def test_a_stream_is_the_same_however_the_network_cuts_it(size: int, ending: bytes) -> None:
    whole_stream = b"".join([b": keep-alive\n\n", *HELLO]).replace(b"\n", ending)
    pieces = [whole_stream[at : at + size] for at in range(0, len(whole_stream), size)]
    events = await answered(Upstream(says(pieces)), call(), served_name="there")
    assert passed(events).replace(b": keep-alive\n\n", b"") == b"".join([*HELLO[:4], DONE])
    for event in events:
        assert not isinstance(event, Passed) or event.data.endswith(b"\n\n")


@pytest.mark.parametrize("verbatim", [True, False])
async def test_tool_calls_are_announced_when_their_arguments_are_complete(verbatim: bool) -> None:
    pieces = [
        chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"x":'}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        chunk(reason="tool_calls"),
        DONE,
    ]
    events = await answered(Upstream(says(pieces)), call(verbatim=verbatim))
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert calls == [ToolCall(0, 0, "a", "f", '{"x":1}'), ToolCall(0, 1, "b", "g", "{}")]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_can_be_had_as_events(stream: bool) -> None:
    events = await answered(Upstream(says()), call(stream=stream, verbatim=False))
    assert isinstance(events[0], Started)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Hello"
    assert [event for event in events if isinstance(event, ChoiceDone)] == [ChoiceDone(0, "stop")]
    assert events[-1] == Finished(USED)


async def test_a_whole_answer_is_passed_on_and_its_tool_calls_are_told() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer = whole({"model": "there"}, tool_calls=calls)
    events = await answered(Upstream(says(answer=answer)), call(stream=False))
    assert b'"model":"here"' in passed(events).replace(b": ", b":")
    assert events[1:] == [ToolCall(0, 0, "a", "f", "{}"), Finished(USED)]


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


async def test_who_is_refused_hears_when_to_come_again() -> None:
    manner = refuses(429, {"error": {"message": "full"}}, **{"retry-after": "7"})
    with pytest.raises(EngineBusy) as caught:
        await answered(Upstream(manner), call())
    assert caught.value.retry_after_s == 7


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


async def test_the_key_of_the_environment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "k")
    upstream = Upstream(says())
    await answered(upstream, call(), key_env="FAR_KEY")
    assert upstream.headers[0]["authorization"] == "Bearer k"


async def test_a_key_that_is_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    with pytest.raises(StartFailed, match="set FAR_KEY"):
        await answered(Upstream(says()), call(), key_env="FAR_KEY")


async def test_load_is_read_from_the_servers_metrics() -> None:
    upstream = Upstream(says(), metrics=VLLM_PAGE)
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(http={"load_s": 0.001})
        await engine.start()
        while engine.load().running != 7:
            await engine.check_health(5)
        load = engine.load()
        assert (load.running, load.waiting, load.kv_used_ratio) == (7, 2, 0.5)
        upstream.metrics = "sglang:num_running_reqs{} 9.0\nsglang:token_usage 0.125\n"
        while engine.load().running != 9:
            await engine.check_health(5)
        assert engine.load().kv_used_ratio == 0.125
        await engine.close()
