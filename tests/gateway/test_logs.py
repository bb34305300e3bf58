"""One line a request, for people or as JSON; no bodies unless asked for, and never a secret."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from telemetry.logs import HumanFormatter, JsonFormatter
from telemetry.redact import MARK
from tests.parts.engine import ScriptedEngine
from tests.parts.loop import ANSWER, ONE_CALL, SERVER
from tests.parts.scripts import call, turn
from tests.parts.served import served
from tests.parts.tools import ScriptedTool, tools_service

KEY = "sk-proj-THESECRETTHESECRET"
QUESTION = {"messages": [{"role": "user", "content": f"my token: {KEY}, and my dog is Rex"}]}


@contextmanager
def written(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """What the gateway logs within the block."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.getLogger("gateway")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield out
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def request_lines(out: io.StringIO) -> list[dict[str, Any]]:
    lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in out.getvalue().splitlines()]
    return [line for line in lines if line["logger"] == "gateway.requests"]


async def test_a_request_is_one_line_with_what_mattered() -> None:
    with written(JsonFormatter()) as out:
        async with tools_service(ScriptedTool()) as url:
            engine = ScriptedEngine(ONE_CALL, ANSWER)
            async with served(engine, tools={"url": url}) as gateway:
                answer = await gateway.chat(tools=[SERVER])
    (line,) = request_lines(out)
    times = {name: line.pop(name) for name in ("time", "total_s", "ttft_s", "waited_s")}
    assert 0 <= times["waited_s"] <= times["ttft_s"] <= times["total_s"]
    assert line == {
        "level": "info",
        "logger": "gateway.requests",
        "message": "request ok",
        "request": answer.headers["x-request-id"],
        "trace": answer.headers["x-roundhouse-trace"],
        "session": answer.headers["x-roundhouse-session"],
        "tenant": "anyone",
        "endpoint": "chat",
        "model": "scripted",
        "engine": "zero",
        "outcome": "ok",
        "status": 200,
        "prompt_tokens": 6,
        "cached_tokens": 2,
        "completion_tokens": 4,
        "turns": 2,
        "retries": 0,
        "tools": "search",
    }


async def test_a_request_that_is_refused_has_its_line_too() -> None:
    with written(JsonFormatter()) as out:
        async with served(ScriptedEngine(ANSWER), api_keys=["good"]) as gateway:
            await gateway.chat()
            await gateway.ask("POST", "/v1/chat/completions", b"{", authorization="Bearer good")
    nobody, bad = request_lines(out)
    assert (nobody["outcome"], nobody["status"]) == ("client_error", 401)
    assert (bad["outcome"], bad["status"]) == ("client_error", 400)
    assert len(bad["tenant"]) >= 8 and "good" not in bad["tenant"]
    assert nobody["trace"] != bad["trace"]


@pytest.mark.parametrize("formatter", [HumanFormatter, JsonFormatter])
@pytest.mark.parametrize("stream", [True, False])
async def test_neither_bodies_nor_keys_are_written_down(
    formatter: type[logging.Formatter], stream: bool
) -> None:
    with written(formatter()) as out:
        async with served(ScriptedEngine(ANSWER), api_keys=[KEY]) as gateway:
            body = {**QUESTION, "stream": stream}
            said = {"authorization": f"Bearer {KEY}"}
            assert (await gateway.ask("POST", "/v1/chat/completions", body, **said)).status == 200
    assert "request ok" in out.getvalue()
    for word in ("Rex", "it is so", KEY):
        assert word not in out.getvalue()


async def test_bodies_that_are_asked_for_are_without_secrets() -> None:
    with written(JsonFormatter()) as out:
        async with served(ScriptedEngine(ANSWER), log={"bodies": True}) as gateway:
            await gateway.ask("POST", "/v1/chat/completions", QUESTION)
    (line,) = request_lines(out)
    assert "my dog is Rex" in line["body"]
    assert line["answer"] == "it is so"
    assert "THESECRET" not in out.getvalue() and MARK in line["body"]


@pytest.mark.parametrize("formatter", [HumanFormatter, JsonFormatter])
async def test_names_that_clients_and_models_choose_are_without_secrets(
    formatter: type[logging.Formatter],
) -> None:
    calls = turn(call(KEY), reason="tool_calls")
    with written(formatter()) as out:
        async with tools_service(ScriptedTool(name=KEY)) as url:
            engine = ScriptedEngine(calls, ANSWER)
            async with served(engine, tools={"url": url}) as gateway:
                for _ in range(2):
                    assert (await gateway.chat(session_id=KEY, tools=[SERVER])).status == 200
    assert out.getvalue().count("request ok") == 2
    assert out.getvalue().count(MARK) >= 3
    assert "THESECRET" not in out.getvalue()


async def test_other_lines_of_a_request_name_its_trace() -> None:
    engine = ScriptedEngine([RuntimeError("a bug")])
    with written(JsonFormatter()) as out:
        async with served(engine) as gateway:
            answer = await gateway.chat()
    lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in out.getvalue().splitlines()]
    (bug,) = (line for line in lines if line["level"] == "error")
    assert "a bug" in bug["traceback"]
    assert bug["trace"] == answer.headers["x-roundhouse-trace"]
