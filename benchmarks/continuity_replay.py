"""Conversations played turn by turn against an engine that says what was recorded."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from benchmarks import continuity_harmony
from benchmarks.continuity_conversations import Message
from benchmarks.continuity_families import Family
from benchmarks.fake_step import SCRIPT
from engine.types import Call, Delta, Finished, ToolCall
from engine.vllm.backend import VllmEngine

BLOCK = 16
THOUGHT = "What was asked is clear: I answer, or call what I need."


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
    prompt: int = 0
    """Tokens of all their prompts."""
    computed: int = 0
    """Of these, those that were computed."""
    prompts: Counter[str] = field(default_factory=Counter)
    """Prompts by how they went on."""

    def add(self, before: tuple[int, int], prompt: int, cached: int) -> None:
        """One turn, and the prompt and output tokens of the one before."""
        whole = (sum(before) - 1) // BLOCK * BLOCK
        self.turns += 1
        self.whole += whole
        self.cached += min(cached, whole)
        self.short += cached < whole
        self.prompt += prompt
        self.computed += prompt - cached


async def replay(
    engine: VllmEngine,
    family: Family,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    *,
    is_free: bool = False,
) -> Found:
    """Play every conversation as a session of its own; see Script for `is_free`."""
    found = Found()
    script = Script(family, tokenizer, _tools(conversations), is_free)
    for number, recorded in enumerate(conversations):
        await _play(engine, script, recorded, f"session-{number}", found)
    for metric in engine.collector.collect():
        for sample in metric.samples:
            if sample.name == "roundhouse_prompts_total":
                found.prompts[sample.labels["continuity"]] += int(sample.value)
    return found


class UnplayableTurnError(ValueError):
    """A recorded turn that a family's template cannot write or its parser does not read back."""


@dataclass(frozen=True, slots=True)
class Script:
    """How a family's model writes: as its template says it has written, or more freely.

    A free one writes arguments without spaces, and a line's end behind its text.
    """

    family: Family
    tokenizer: Any
    tools: Sequence[Message] = ()
    is_free: bool = False

    def tokens(self, history: Sequence[Message], message: Message) -> list[int]:
        """A whole answer, its end included."""
        if self.family.is_harmony:
            return self._harmony(message)
        written: list[int] = self.tokenizer.encode(
            self.text(history, message), add_special_tokens=False
        )
        return written

    def _harmony(self, message: Message) -> list[int]:
        write = _compact if self.is_free else json.dumps
        calls = [(name, write(arguments)) for name, arguments in _calls(message)]
        text = str(message["content"]) + ("\n" if self.is_free and not calls else "")
        return continuity_harmony.answer(self.tokenizer, THOUGHT, text, calls)

    def text(self, history: Sequence[Message], message: Message) -> str:
        """What the template adds to the prompt for an answer, up to its end."""
        if self.family.reasoning_parser:
            message = {**message, "reasoning_content": THOUGHT}
        before = [_parsed(each) for each in history]
        prompt = self._render(before, prompt=True)
        whole = self._render([*before, _parsed(message)], prompt=False)
        if not whole.startswith(prompt):
            # Some templates move the system message or the tools to the last user message, and
            # look for it otherwise once there is an answer.
            other = self._render([*before, {"role": "assistant", "content": "\0"}], prompt=False)
            prompt = whole[: _shared(whole, other)]
        answer, end, _ = whole[len(prompt) :].partition(self.family.end)
        if not end:
            raise UnplayableTurnError(f"the template writes no answer for {message}")
        return (self._freely(answer, message) if self.is_free else answer) + end

    def _freely(self, answer: str, message: Message) -> str:
        for _, arguments in _calls(message):
            written = json.dumps(arguments, ensure_ascii=False)
            if written not in answer:
                raise UnplayableTurnError(f"the template writes arguments otherwise: {answer}")
            answer = answer.replace(written, _compact(arguments), 1)
        return answer if message.get("tool_calls") else answer + "\n"

    def _render(self, messages: Sequence[Message], *, prompt: bool) -> str:
        rendered: str = self.tokenizer.apply_chat_template(
            list(messages),
            tools=list(self.tools) or None,
            add_generation_prompt=prompt,
            tokenize=False,
        )
        return rendered


def _shared(one: str, other: str) -> int:
    differing = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differing, min(len(one), len(other)))


def _parsed(message: Message) -> Message:
    """A message as templates take it: arguments as objects, and an id for every call."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {
            "id": call.get("id") or f"{number:09}",
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"]),
            },
        }
        for number, call in enumerate(message["tool_calls"])
    ]
    return {**message, "tool_calls": calls}


async def _play(
    engine: VllmEngine, script: Script, recorded: Sequence[Message], session: str, found: Found
) -> None:
    history: list[Message] = []
    waiting: list[str] = []  # ids of calls without a result
    before: tuple[int, int] | None = None
    for turn, message in enumerate(recorded):
        if message["role"] != "assistant":
            history.append(_sent(message, waiting))
            continue
        body: dict[str, Any] = {
            "messages": history,
            "max_tokens": 8192,
            "vllm_xargs": {SCRIPT: script.tokens(history, _recorded(message))},
        }
        if script.tools:
            body["tools"] = script.tools
        call = Call(f"{session}-{turn}", "chat", body, stream=True, session=session)
        calls: list[ToolCall] = []
        said = ""
        async with aclosing(engine.generate(call)) as events:
            async for event in events:
                if isinstance(event, ToolCall):
                    calls.append(event)
                elif isinstance(event, Delta):
                    said += event.text
                elif isinstance(event, Finished):
                    usage = event.usage
        if len(calls) != len(list(_calls(message))):
            raise UnplayableTurnError(f"the parser found {len(calls)} calls in {message}: {said!r}")
        if before is not None:
            found.add(before, usage.prompt_tokens, usage.cached_tokens)
        before = usage.prompt_tokens, usage.completion_tokens
        waiting = [call.id for call in calls]
        history.append(echoed(said, calls))


def _recorded(message: Message) -> Message:
    # Ids are left out: a recording's are another model's, and some templates want nine letters.
    calls = [{"function": call["function"]} for call in message.get("tool_calls") or ()]
    said = {"role": "assistant", "content": message.get("content") or ""}
    return said | {"tool_calls": calls} if calls else said


def echoed(said: str, calls: Sequence[ToolCall]) -> Message:
    """An answer as a client sends it back: arguments written anew, reasoning and spaces gone."""
    answer: dict[str, Any] = {"role": "assistant", "content": said.strip()}
    if not calls:
        return answer
    return answer | {
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": _compact(json.loads(call.arguments)),
                },
            }
            for call in calls
        ],
    }


def _compact(arguments: object) -> str:
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))


def _sent(message: Message, waiting: list[str]) -> Message:
    sent = {"role": message["role"], "content": message["content"]}
    return sent | {"tool_call_id": waiting.pop(0)} if message["role"] == "tool" else sent


def _calls(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
    for call in message.get("tool_calls") or ():
        yield call["function"]["name"], json.loads(call["function"]["arguments"])


def _tools(conversations: Sequence[Sequence[Message]]) -> list[dict[str, Any]]:
    """What was called in any, as tools that take any object: recordings hold no schemas."""
    messages = (message for recorded in conversations for message in recorded)
    names = sorted({name for message in messages for name, _ in _calls(message)})
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": name,
                "parameters": {
                    "type": "object",
                    "properties": {},
                    "additionalProperties": True,
                },
            },
        }
        for name in names
    ]
