"""Conversations played turn by turn against an engine that says what was recorded."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from benchmarks.continuity_conversations import Message
from benchmarks.continuity_families import Call as Made
from benchmarks.continuity_families import Family
from benchmarks.fake_step import SCRIPT
from engine.types import Call, Finished, ToolCall
from engine.vllm.backend import VllmEngine

BLOCK = 16


@dataclass(slots=True)
class Found:
    """What the turns after a first one found of the turn before them."""

    turns: int = 0
    whole: int = 0
    """Tokens in the full blocks of the turns before; the last token of an answer has no KV."""
    cached: int = 0
    """How many of those were found."""
    short: int = 0
    """Turns that did not find all of them."""
    computed: int = 0
    """Prompt tokens that were computed."""
    prompts: Counter[str] = field(default_factory=Counter)
    """Prompts by how they went on."""

    def add(self, before: tuple[int, int], prompt: int, cached: int) -> None:
        """One turn, and the prompt and output tokens of the one before."""
        whole = (sum(before) - 1) // BLOCK * BLOCK
        self.turns += 1
        self.whole += whole
        self.cached += min(cached, whole)
        self.short += cached < whole
        self.computed += prompt - cached


async def replay(
    engine: VllmEngine, family: Family, tokenizer: Any, conversations: Sequence[Sequence[Message]]
) -> Found:
    """Play every conversation as a session of its own."""
    found = Found()
    for number, recorded in enumerate(conversations):
        await _play(engine, Script(family, tokenizer), recorded, f"session-{number}", found)
    for metric in engine.collector.collect():
        for sample in metric.samples:
            if sample.name == "roundhouse_prompts_total":
                found.prompts[sample.labels["continuity"]] += int(sample.value)
    return found


@dataclass(frozen=True, slots=True)
class Script:
    """How a family's model writes, as tokens."""

    family: Family
    tokenizer: Any

    def tokens(self, message: Message) -> list[int]:
        """A whole answer, its end included."""
        text = self.family.write(message.get("content") or "", list(_calls(message)))
        written: list[int] = self.tokenizer.encode(text + self.family.end, add_special_tokens=False)
        return written


async def _play(
    engine: VllmEngine, script: Script, recorded: Sequence[Message], session: str, found: Found
) -> None:
    history: list[Message] = []
    tools = _tools(recorded)
    waiting: list[str] = []  # ids of calls without a result
    before: tuple[int, int] | None = None
    for turn, message in enumerate(recorded):
        if message["role"] != "assistant":
            history.append(_sent(message, waiting))
            continue
        body = {
            "messages": history,
            "tools": tools,
            "max_tokens": 8192,
            "vllm_xargs": {SCRIPT: script.tokens(message)},
        }
        call = Call(f"{session}-{turn}", "chat", body, stream=True, session=session)
        calls: list[ToolCall] = []
        async with aclosing(engine.generate(call)) as events:
            async for event in events:
                if isinstance(event, ToolCall):
                    calls.append(event)
                elif isinstance(event, Finished):
                    usage = event.usage
        if len(calls) != len(list(_calls(message))):
            raise RuntimeError(f"the parser found {len(calls)} calls in {message}")
        if before is not None:
            found.add(before, usage.prompt_tokens, usage.cached_tokens)
        before = usage.prompt_tokens, usage.completion_tokens
        waiting = [call.id for call in calls]
        history.append(_echoed(message, calls))


def _echoed(message: Message, calls: Sequence[ToolCall]) -> Message:
    """An answer as a client sends it back: arguments written anew, reasoning and spaces gone."""
    said: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    if not calls:
        return said | {"content": (message.get("content") or "").strip()}
    return said | {
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(json.loads(call.arguments), separators=(",", ":")),
                },
            }
            for call in calls
        ],
    }


def _sent(message: Message, waiting: list[str]) -> Message:
    sent = {"role": message["role"], "content": message["content"]}
    return sent | {"tool_call_id": waiting.pop(0)} if message["role"] == "tool" else sent


def _calls(message: Message) -> Iterator[Made]:
    for call in message.get("tool_calls") or ():
        yield call["function"]["name"], json.loads(call["function"]["arguments"])


def _tools(recorded: Sequence[Message]) -> list[dict[str, Any]]:
    """What was called, as tools that take any object: recordings hold no schemas."""
    names = sorted({name for message in recorded for name, _ in _calls(message)})
    return [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in names
    ]
