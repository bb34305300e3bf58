"""Whatever a client sends, it is answered, or told in OpenAI's shape what is wrong."""

from collections.abc import AsyncIterator, Mapping

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from engine.errors import BadCall
from engine.types import Call
from tests.parts.engine import ScriptedEngine
from tests.parts.mutations import CHATS, COMPLETIONS, mutated
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

TOOLS_TURN = turn(text("a"), call("search"), reason="tool_calls")


def check(asked: Call) -> None:
    """Refuse what every engine refuses. Raises BadCall."""
    field = "messages" if asked.endpoint == "chat" else "prompt"
    if not isinstance(asked.body.get(field), list | str):
        raise BadCall(f"'{field}' is missing or wrong", field)
    if not isinstance(asked.body.get("n", 1), int):
        raise BadCall("'n' must be a whole number", "n")


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Served]:
    """A gateway whose engine calls the server-side tool again and again."""
    engine = ScriptedEngine(TOOLS_TURN, check=check)
    async with (
        tools_service(ScriptedTool()) as url,
        served(engine, tools={"url": url, "turns": 2}) as gateway,
    ):
        yield gateway


patient = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(mutated(CHATS))
async def test_no_chat_makes_the_gateway_fail(it: Served, body: bytes) -> None:
    _expect_answer(await it.ask("POST", "/v1/chat/completions", body))


@patient
@given(mutated(COMPLETIONS))
async def test_no_text_completion_makes_the_gateway_fail(it: Served, body: bytes) -> None:
    _expect_answer(await it.ask("POST", "/v1/completions", body))


@pytest.mark.parametrize("body", CHATS)
async def test_the_chats_that_are_mutated_are_served(
    it: Served, body: Mapping[str, object]
) -> None:
    answer = await it.ask("POST", "/v1/chat/completions", body)
    assert answer.status == 200, answer.content


@pytest.mark.parametrize("body", COMPLETIONS)
async def test_the_completions_that_are_mutated_are_served(
    it: Served, body: Mapping[str, object]
) -> None:
    answer = await it.ask("POST", "/v1/completions", body)
    assert answer.status == 200, answer.content


def _expect_answer(answer: Answer) -> None:
    if answer.status != 200:
        assert answer.status < 500, answer.content
        assert answer.error["code"]
    elif answer.headers["content-type"].startswith("text/event-stream"):
        *events, done, rest = answer.content.split(b"\n\n")
        assert (done, rest) == (b"data: [DONE]", b"")
        for event in events:
            assert "choices" in msgspec.json.decode(event.removeprefix(b"data: "))
    else:
        assert "choices" in answer.json
