"""A real chat that uses a tool: the proof that the whole house works."""

from contextlib import aclosing
from dataclasses import dataclass

import aiohttp

from roundhouse.chat import Question, ToolEvent, chat, first_model
from roundhouse.errors import NoAnswer

TEXT = "What is 17 * 23?"
TOOLS = ("calculate", "search")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the self-test saw."""

    passed: bool
    report: str


async def self_test(http: aiohttp.ClientSession) -> Outcome:
    """Ask something that needs a tool; never raises for what the gateway does wrong."""
    words: list[str] = []
    events: list[ToolEvent] = []
    try:
        model = await first_model(http)
        question = Question(TEXT, model, allowed=TOOLS, temperature=0)
        async with aclosing(chat(http, question)) as chunks:
            async for chunk in chunks:
                words += [choice.delta.content or "" for choice in chunk.choices]
                events += [chunk.roundhouse] if chunk.roundhouse else []
    except NoAnswer as error:
        return Outcome(False, f"self-test failed: {error}")
    return judge("".join(words).strip(), events)


def judge(answer: str, events: list[ToolEvent]) -> Outcome:
    finished = [event for event in events if event.event == "tool_finished"]
    if not finished:
        return Outcome(False, f"self-test: the model called no tool and answered {answer!r}")
    tool = finished[0]
    if tool.failed:
        return Outcome(False, f"self-test: the tool {tool.name} failed; the answer was {answer!r}")
    if not answer:
        return Outcome(False, f"self-test: {tool.name} ran, but no answer followed")
    took = f" in {tool.took_s:.2f} s" if tool.took_s is not None else ""
    return Outcome(True, f"self-test passed: {TEXT} {tool.name} ran{took}; answer: {answer}")
