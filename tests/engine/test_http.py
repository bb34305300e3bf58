"""A server met over HTTP, as an engine."""

import asyncio

import pytest

from engine.errors import (
    BadCall,
    StartFailed,
)
from engine.types import (
    Call,
    ChoiceDone,
    Delta,
    Finished,
    Passed,
    Started,
    ToolCall,
    Usage,
)
from tests.engine.http_calls import USER, answered, call, passed
from tests.parts.upstream import (
    DONE,
    HELLO,
    USAGE_CHUNK,
    Upstream,
    chunk,
    says,
    whole,
)

USED = Usage(3, 2, 1)
VLLM_PAGE = """# HELP vllm:num_requests_running Running.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a } b"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
"""


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


async def test_tools_told_in_the_prompt_are_refused_where_the_server_would_ignore_the_field() -> (
    None
):
    with pytest.raises(BadCall, match="'tools_in_prompt' is not served here") as refused:
        await answered(Upstream(says()), call(tools_in_prompt=True))
    assert refused.value.param == "tools_in_prompt"
    upstream = Upstream(says())
    await answered(upstream, call(tools_in_prompt=False))
    assert "tools_in_prompt" not in upstream.asked[0]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_text_of_what_is_passed_on_can_be_had(stream: bool) -> None:
    events = await answered(Upstream(says()), call(stream=stream))
    assert "".join(event.text() for event in events if isinstance(event, Passed)) == "Hello"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b": ping\n\ndata: [DONE]\n\n", ""),
        (chunk(content="a") + chunk(content=None) + chunk(content="b"), "ab"),
        (b'data: {"choices": "odd"}\n\n' + chunk(content="a"), "a"),
        (b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n', ""),
        (b'{"choices":[{"message":{"content":[]}}]}', ""),
        (b"", ""),
    ],
)
def test_text_is_that_of_the_first_choice(data: bytes, text: str) -> None:
    assert Passed(data).text() == text


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
    assert events[0] == ToolCall(0, 0, "a", "f", "{}")
    assert events[-1] == Finished(USED)


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
