"""Tool calls whose tokens come several at once: by drafts that were right, or under load."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.continuity_families import DEMO, FAMILIES, make_model
from benchmarks.continuity_replay import Script
from benchmarks.fake_step import SCRIPT, SCRIPT_STEP, STEP_VARIABLE
from benchmarks.variants import FAKE_EXECUTOR
from engine.config import EngineConfig
from engine.types import Call, Delta, ToolCall
from engine.vllm.backend import VllmEngine
from tests.parts.forked import no_errors_of_warnings

pytestmark = pytest.mark.real

TEMPLATES = {
    "llama3": Path(__file__).parent / "templates" / "headers.jinja",
    "hermes": DEMO / "chat_template.jinja",
}
ASKED = [{"role": "user", "content": "How much is it?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "calculate",
            "parameters": {"type": "object", "properties": {}, "additionalProperties": True},
        },
    }
]


@asynccontextmanager
async def running(name: str, folder: Path) -> AsyncGenerator[tuple[VllmEngine, Script]]:
    """An engine of that family, which says what it is told to."""
    family = FAMILIES[name]
    tokenizer = make_model(family, TEMPLATES[name], folder)
    args: dict[str, Any] = {
        "enforce_eager": True,
        "distributed_executor_backend": FAKE_EXECUTOR,
    }
    engine = VllmEngine(
        EngineConfig(
            name=name, model=str(folder), tool_parser=family.parser, max_model_len=4096, args=args
        )
    )
    with no_errors_of_warnings():
        await engine.start()
    try:
        yield engine, Script(family, tokenizer, TOOLS)
    finally:
        await engine.close()


async def said(engine: VllmEngine, tokens: Sequence[int], at_once: int) -> list[tuple[str, str]]:
    """The calls of an answer, as they were announced; its deltas must say the same."""
    body: dict[str, Any] = {
        "messages": ASKED,
        "tools": TOOLS,
        "max_tokens": 2000,
        "vllm_xargs": {SCRIPT: list(tokens), SCRIPT_STEP: at_once},
    }
    calls: list[tuple[str, str]] = []
    streamed: dict[int, list[str]] = {}
    async with aclosing(engine.generate(Call(f"c-{at_once}", "chat", body, stream=True))) as events:
        async for event in events:
            if isinstance(event, ToolCall):
                calls.append((event.name, event.arguments))
            elif isinstance(event, Delta):
                for piece in event.tool_calls:
                    known = streamed.setdefault(piece.index, [piece.name or "", ""])
                    known[1] += piece.arguments
    assert [tuple(each) for each in streamed.values()] == calls
    return calls


@pytest.mark.parametrize("name", TEMPLATES)
async def test_no_call_is_lost_however_many_tokens_come_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEP_VARIABLE, "0")
    function = {
        "name": "calculate",
        "arguments": '{"expression": "6594 + 3925", "of": [1, {"a": null}]}',
    }
    answer = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    async with running(name, tmp_path) as (engine, script):
        tokens = script.tokens(ASKED, answer)
        async with asyncio.timeout(60):
            found = {step: await said(engine, tokens, step) for step in (1, 2, 3, 7, len(tokens))}
    assert len(found) == 5
    for calls in found.values():
        ((called, arguments),) = calls
        assert called == "calculate"
        assert arguments == function["arguments"]


async def test_what_looks_like_a_call_in_a_text_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STEP_VARIABLE, "0")
    text = 'Write {"name": "calculate", "parameters": {"expression": "1 + 1"}} for that.'
    async with running("llama3", tmp_path) as (engine, script):
        tokens = script.tokens(ASKED, {"role": "assistant", "content": text})
        async with asyncio.timeout(60):
            assert [await said(engine, tokens, step) for step in (1, 3)] == [[], []]
