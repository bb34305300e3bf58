"""Chat and text completions over a real socket, with OpenAI's own client."""

import asyncio
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from engine.types import Delta
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))


USER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


SERVER = {"type": "mcp", "server_label": "roundhouse"}


def ask(it: Served, **fields: object) -> asyncio.Task[Answer]:
    return asyncio.create_task(it.chat(**fields))


async def test_a_chat_is_answered() -> None:
    async with served(ScriptedEngine(HELLO)) as it, it.sdk() as sdk:
        answer = await sdk.chat.completions.create(model="scripted", messages=USER)
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (3, 5)
    assert it.outcomes() == {"ok": 1}


async def test_a_chat_is_streamed() -> None:
    async with served(ScriptedEngine(HELLO)) as it, it.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="scripted", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    assert pieces == ["", "Hel", "lo", None]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 2
    assert it.outcomes() == {"ok": 1}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_text_is_completed(streamed: bool) -> None:
    whole = turn([Delta(0, "Hello", tokens=2)])
    async with served(ScriptedEngine(whole)) as it, it.sdk() as sdk:
        if streamed:
            stream = await sdk.completions.create(model="scripted", prompt="hi", stream=True)
            said = "".join([chunk.choices[0].text async for chunk in stream])
        else:
            answer = await sdk.completions.create(model="scripted", prompt="hi")
            said = answer.choices[0].text
    assert said == "Hello"
    assert it.metric("requests_total", endpoint="completion", outcome="ok") == 1


async def test_the_engine_is_asked_what_the_client_asked() -> None:
    engine = ScriptedEngine(HELLO)
    async with served(engine) as it:
        answer = await it.chat(model="scripted", temperature=0.5, session_id="s")
    (asked,) = engine.calls
    assert asked.body == {"messages": USER, "temperature": 0.5}
    assert (asked.endpoint, asked.stream) == ("chat", False)
    assert answer.json["id"] == asked.id


async def test_an_answer_names_its_request_session_and_engine() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        for stream in (False, True):
            answer = await it.chat(stream=stream, session_id="s")
            assert answer.headers["x-roundhouse-session"] == "s"
            assert answer.headers["x-roundhouse-engine"] == "zero"
            assert answer.headers["x-request-id"].startswith("chatcmpl-")


async def test_a_session_stays_with_its_engine() -> None:
    engines = ScriptedEngine(HELLO, name="a"), ScriptedEngine(HELLO, name="b")
    async with served(*engines) as it:
        engines[0].kv_used_ratio = 0.5
        first = await it.chat(session_id="s")
        engines[1].kv_used_ratio = 0.9
        second = await it.chat(session_id="s")
        other = await it.chat(session_id="t")
    told = [answer.headers["x-roundhouse-engine"] for answer in (first, second, other)]
    assert told == ["b", "b", "a"]


async def test_sessions_that_run_at_once_are_spread() -> None:
    gate = asyncio.Event()
    engines = [ScriptedEngine([gate, *HELLO], name=name) for name in "ab"]
    async with served(*engines) as it, asyncio.timeout(5):
        asking = [ask(it, session_id=str(number)) for number in range(2)]
        for engine in engines:
            await engine.asked.wait()
        gate.set()
        answers = await asyncio.gather(*asking)
    assert {answer.headers["x-roundhouse-engine"] for answer in answers} == {"a", "b"}


async def test_a_session_moves_when_its_engine_dies() -> None:
    engines = ScriptedEngine(HELLO, name="a"), ScriptedEngine(HELLO, name="b")
    async with served(*engines) as it:
        first = await it.chat(session_id="s")
        engines[0].died.set()
        second = await it.chat(session_id="s")
    assert [a.headers["x-roundhouse-engine"] for a in (first, second)] == ["a", "b"]


async def test_without_a_living_engine_requests_are_refused() -> None:
    engine = ScriptedEngine(HELLO)
    async with served(engine) as it:
        engine.died.set()
        answer = await it.chat()
        assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
    assert it.outcomes() == {"engine_error": 1}


async def test_of_several_models_one_must_be_named() -> None:
    engines = ScriptedEngine(HELLO, name="a", model="x"), ScriptedEngine(HELLO, name="b", model="y")
    async with served(*engines) as it:
        assert (await it.chat()).error["code"] == "model_not_found"
        assert (await it.chat(model="y")).headers["x-roundhouse-engine"] == "b"


async def test_a_stream_has_a_beginning_before_its_end() -> None:
    """The second piece is not written before the client has the first."""
    gate = asyncio.Event()
    engine = ScriptedEngine([*HELLO[:2], gate, *HELLO[2:]])
    async with served(engine) as it, it.sdk() as sdk, asyncio.timeout(5):
        stream = await sdk.chat.completions.create(model="scripted", messages=USER, stream=True)
        said = ""
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if said == "Hel":
                gate.set()
    assert said == "Hello"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_with_server_tools_is_one_request(stream: bool) -> None:
    engine = ScriptedEngine(turn(call("search"), reason="tool_calls"), HELLO)
    tools: list[Any] = [SERVER]
    async with (
        tools_service(ScriptedTool()) as url,
        served(engine, tools={"url": url}) as it,
        it.sdk() as sdk,
    ):
        if stream:
            chunks = await sdk.chat.completions.create(
                model="scripted", messages=USER, tools=tools, stream=True
            )
            pieces = [
                (chunk.choices[0].delta.content, chunk.choices[0].finish_reason)
                async for chunk in chunks
            ]
            said = "".join(piece or "" for piece, _ in pieces)
            ends = [end for _, end in pieces if end]
        else:
            answer = await sdk.chat.completions.create(model="scripted", messages=USER, tools=tools)
            said = answer.choices[0].message.content or ""
            ends = [answer.choices[0].finish_reason]
            assert answer.model_extra is not None
            assert answer.model_extra["roundhouse"]["tool_calls"][0]["name"] == "search"
    assert (said, ends) == ("Hello", ["stop"])
    assert it.outcomes() == {"ok": 1}
