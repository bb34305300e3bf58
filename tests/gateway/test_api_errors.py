"""Every error a client can meet, over a real socket."""

import asyncio
import json
from collections.abc import Sequence

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from engine.errors import (
    BadCall,
    ContextOverflow,
    EngineBusy,
    EngineDead,
    EngineError,
    EngineFailed,
)
from gateway.errors import GatewayError
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))


USER: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


CHAT = "/v1/chat/completions"


SERVER = {"type": "mcp", "server_label": "roundhouse"}


def ask(it: Served, **fields: object) -> asyncio.Task[Answer]:
    return asyncio.create_task(it.chat(**fields))


ENGINE_ERRORS: list[tuple[EngineError, int, str, str]] = [
    (BadCall("no", "n"), 400, "invalid_value", "client_error"),
    (ContextOverflow("long"), 400, "context_length_exceeded", "client_error"),
    (EngineBusy("full"), 429, "engine_busy", "refused"),
    (EngineFailed("broke"), 500, "generation_failed", "engine_error"),
    (EngineDead("gone"), 503, "engine_unavailable", "engine_error"),
]


@pytest.mark.parametrize(("error", "status", "code", "outcome"), ENGINE_ERRORS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_event_has_a_status(
    error: EngineError, status: int, code: str, outcome: str, stream: bool
) -> None:
    async with served(ScriptedEngine([error])) as it:
        answer = await it.chat(stream=stream)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.headers["x-request-id"]
    assert it.outcomes() == {outcome: 1}


@pytest.mark.parametrize(("error", "status", "code", "outcome"), ENGINE_ERRORS)
async def test_an_error_after_the_first_event_ends_the_stream(
    error: EngineError, status: int, code: str, outcome: str
) -> None:
    async with served(ScriptedEngine([*HELLO[:2], error])) as it, it.sdk() as sdk:
        stream = await sdk.chat.completions.create(model="scripted", messages=USER, stream=True)
        with pytest.raises(openai.APIError) as caught:
            async for _ in stream:
                pass
        answer = await it.chat(stream=True)
        last = answer.content.split(b"\n\n")[-2]
    assert caught.value.code == code
    assert isinstance(caught.value.body, dict)
    assert caught.value.body.keys() == {"message", "type", "param", "code"}
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == code
    assert it.outcomes() == {outcome: 2}


async def test_an_overflow_is_said_in_the_words_that_agents_look_for() -> None:
    async with served(ScriptedEngine([ContextOverflow("long")])) as it, it.sdk() as sdk:
        with pytest.raises(openai.BadRequestError, match="context_length_exceeded"):
            await sdk.chat.completions.create(model="scripted", messages=USER)


async def test_a_bug_is_an_internal_error_and_the_next_request_is_served() -> None:
    crash: list[Step] = [RuntimeError("secret")]
    async with served(ScriptedEngine(crash, [*HELLO[:2], *crash], HELLO)) as it:
        answers = [await it.chat(stream=stream) for stream in (False, True, False)]
    assert [answer.status for answer in answers] == [500, 200, 200]
    assert answers[0].error["code"] == "internal_error"
    assert b'"internal_error"' in answers[1].content
    assert not any(b"secret" in answer.content for answer in answers)
    assert it.outcomes() == {"internal_error": 2, "ok": 1}


@pytest.mark.parametrize("n", ["two", [1], {}])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_field_the_engine_refuses_is_no_internal_error(n: object, stream: bool) -> None:
    """A streamed chat made its chunks from `n` before the engine had checked it."""
    async with served(ScriptedEngine([BadCall("'n' must be a number", "n")])) as it:
        answer = await it.chat(n=n, stream=stream)
        assert (answer.status, answer.error["param"]) == (400, "n")


async def test_a_session_with_a_foreign_name_is_refused() -> None:
    """The answer's header could not carry it: an internal error."""
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.chat(session_id="会话")
        assert (answer.status, answer.error["param"]) == (400, "session_id")


async def test_a_model_nobody_serves_is_not_found() -> None:
    async with served(ScriptedEngine(HELLO)) as it, it.sdk() as sdk:
        with pytest.raises(openai.NotFoundError, match="there is: scripted") as caught:
            await sdk.chat.completions.create(model="gpt-9", messages=USER)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert it.outcomes() == {"client_error": 1}


async def test_with_keys_a_request_must_show_one() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["k1", "k2"]) as it:
        async with it.sdk("k2") as sdk:
            assert await sdk.chat.completions.create(model="scripted", messages=USER)
        async with it.sdk("wrong") as sdk:
            with pytest.raises(openai.AuthenticationError) as caught:
                await sdk.chat.completions.create(model="scripted", messages=USER)
        assert caught.value.code == "invalid_api_key"
        answer = await it.chat()
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert it.outcomes() == {"ok": 1, "client_error": 2}


async def test_a_body_over_the_limit_is_refused() -> None:
    async with served(ScriptedEngine(HELLO), body_mib=0.001) as it:
        answer = await it.chat(user="x" * 2000)
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
        assert (await it.chat()).status == 200
    assert it.outcomes() == {"ok": 1, "client_error": 1}


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask("POST", CHAT, b"{")
        assert (answer.status, answer.error["code"]) == (400, "invalid_json")
        answer = await it.ask("POST", CHAT, b"{}", content_type="text/plain")
        assert (answer.status, "application/json" in answer.error["message"]) == (400, True)
    assert it.outcomes() == {"client_error": 2}


async def test_the_content_type_is_read_as_http_says() -> None:
    """In capitals it was refused."""
    kind = "Application/JSON; charset=UTF-8"
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask("POST", CHAT, {"messages": USER}, content_type=kind)
        assert answer.status == 200


async def test_a_tools_service_that_is_down_is_a_tools_error() -> None:
    async with served(ScriptedEngine(HELLO), tools={"url": "http://127.0.0.1:1/mcp"}) as it:
        answer = await it.chat(tools=[SERVER])
        assert (answer.status, answer.error["code"]) == (503, "tools_unavailable")
    assert it.outcomes() == {"tools_error": 1}


async def test_a_tool_call_that_breaks_ends_the_stream_with_its_error() -> None:
    engine = ScriptedEngine(turn(call("search"), reason="tool_calls"), HELLO)
    async with (
        tools_service(ScriptedTool(dies=True)) as url,
        served(engine, tools={"url": url}) as it,
    ):
        answer = await it.chat(tools=[SERVER], stream=True)
    last = json.loads(answer.content.split(b"\n\n")[-2].removeprefix(b"data: "))
    assert (answer.status, last["error"]["code"]) == (200, "tools_unavailable")
    assert it.outcomes() == {"tools_error": 1}


def test_every_error_is_openais() -> None:
    errors: Sequence[type[GatewayError]] = GatewayError.__subclasses__()
    assert errors
    for error in errors:
        assert error.type in ("invalid_request_error", "rate_limit_error", "server_error")
        assert 400 <= error.status < 600
