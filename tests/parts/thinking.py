"""An engine that answers agents the way a model does: calls their tools, then says something."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec

from engine.types import Call, Event
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn

TOPICS = ("research topic A", "research topic B")
ANSWER = "it is sunny"
ROUNDS = 2


class ThinkingEngine(ScriptedEngine):
    """Calls the tool on offer, twice in a row, then answers; delegates once where it can.

    The first answers wait until `expected` conversations have begun, so that all overlap.
    """

    def __init__(self, expected: int) -> None:
        super().__init__(())
        self._expected = expected
        self._all_began = asyncio.Event()

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Answer by what the conversation holds."""
        self.calls.append(call)
        if len(self.calls) >= self._expected:
            self._all_began.set()
        await self._all_began.wait()
        for step in _think(call.body):
            assert not isinstance(step, asyncio.Event | Exception)
            yield step


def said(message: Mapping[str, Any]) -> str:
    """A message's text, whole or in parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content)


def _think(body: Mapping[str, Any]) -> Sequence[Step]:
    offered = {tool["function"]["name"] for tool in body.get("tools", ())}
    results = sum(_is_result(message) for message in body["messages"])
    if "task" in offered and not results:
        return _calls(*(("task", _task(topic)) for topic in TOPICS))
    if "get_weather" in offered and results < ROUNDS:
        return _calls(("get_weather", {"city": "Berlin"}))
    if "final_answer" in offered:
        return _calls(("final_answer", {"answer": ANSWER}))
    return turn(text("it is ", "sunny"))


def _is_result(message: Mapping[str, Any]) -> bool:
    return message["role"] == "tool" or said(message).startswith("Observation")


def _task(topic: str) -> dict[str, str]:
    return {"description": topic, "subagent_type": "researcher"}


def _calls(*calls: tuple[str, Mapping[str, str]]) -> list[Step]:
    made = [
        call(
            name,
            msgspec.json.encode(arguments).decode(),
            index=index,
            id=f"chatcmpl-tool-{secrets.token_hex(8)}",
        )
        for index, (name, arguments) in enumerate(calls)
    ]
    return turn(*made, reason="tool_calls")
