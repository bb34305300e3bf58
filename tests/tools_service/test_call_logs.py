"""One line a call, for people or as JSON; no values unless asked for, and never a secret."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from telemetry.logs import HumanFormatter, JsonFormatter
from telemetry.redact import MARK
from tests.tools_service.test_retries import silent
from tests.tools_service.tool_stand_ins import Act, opened, stand
from tools_service.audit import digest
from tools_service.call import Call
from tools_service.policy import Group

KEY = "sk-proj-THESECRETTHESECRET"


@contextmanager
def written(formatter: logging.Formatter) -> Iterator[io.StringIO]:
    """What the service logs within the block."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.getLogger("tools_service")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield out
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def decoded(out: io.StringIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in out.getvalue().splitlines()]


async def test_a_call_is_one_line_with_what_mattered() -> None:
    call = Call("act", {"text": "Rex"}, Group(session="s1", id="g1"), "alice")
    with written(JsonFormatter(())) as out:
        async with opened() as service:
            await service.parts.executor.call(call, silent)
    (line,) = decoded(out)
    assert "Rex" not in out.getvalue() and "alice" not in out.getvalue()
    times = [line.pop(name) for name in ("time", "wait_s", "run_s", "expected_s")]
    assert all(number >= 0 for number in times)
    assert line == {
        "level": "info",
        "logger": "tools_service.executor",
        "message": "call ok",
        "tool": "act",
        "caller": digest("alice"),
        "session": "s1",
        "group": "g1",
        "outcome": "ok",
        "attempts": 1,
    }


async def test_a_refused_call_says_why_and_a_failed_one_that_it_did() -> None:
    with written(HumanFormatter(())) as out:
        async with opened() as service:
            await service.parts.executor.call(Call("no such", {}, Group()), silent)
            await service.parts.executor.call(Call("act", {"text": "fail"}, Group()), silent)
    refused, failed = out.getvalue().splitlines()
    assert "call error tool=unknown" in refused and "refusal=UnknownTool" in refused
    assert "call error tool=act" in failed and "attempts=1" in failed


async def test_values_that_are_asked_for_are_without_secrets() -> None:
    call = Call("act", {"text": f"a {KEY} of Rex"}, Group())
    with written(JsonFormatter(())) as out:
        async with opened(log={"bodies": True}) as service:
            await service.parts.executor.call(call, silent)
    (line,) = decoded(out)
    assert line["arguments"] == f'{{"text":"a {MARK} of Rex"}}'
    assert "of Rex" in line["result"]
    assert "THESECRET" not in out.getvalue()


async def test_a_traceback_in_the_log_has_no_secret_of_the_arguments() -> None:
    def crash(text: str) -> str:
        raise RuntimeError(f"GET https://x.example/?api_key={text} failed")

    executor = stand(Act(crash)).parts.executor
    with written(HumanFormatter(["house-key-1"])) as out:
        for text in ("tvly-THESECRETTHESECRET", "house-key-1"):
            answer = await executor.call(Call("act", {"text": text}, Group()), silent)
            assert text not in answer.text
    assert "Traceback" in out.getvalue()
    assert "THESECRET" not in out.getvalue()
    assert "house-key-1" not in out.getvalue()
