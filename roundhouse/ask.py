"""`roundhouse ask`: one question, the answer as it streams, the tool calls as they happen."""

import json
from contextlib import aclosing
from dataclasses import replace

from pydantic import JsonValue
from rich.console import Console
from rich.text import Text

from roundhouse.chat import Address, Chunk, Question, ToolEvent, chat, first_model


async def answer(address: Address, question: Question, console: Console) -> None:
    """Raises NoAnswer. A question with an empty model goes to the first one served."""
    async with address.session() as http:
        if not question.model:
            question = replace(question, model=await first_model(http))
        page = Page(console)
        async with aclosing(chat(http, question)) as chunks:
            async for chunk in chunks:
                page.show(chunk)
        page.end_line()


class Page:
    """Words run on; a tool call gets a line of its own."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.open_line = False

    def show(self, chunk: Chunk) -> None:
        for choice in chunk.choices:
            self.write(choice.delta.reasoning, "dim italic")
            self.write(choice.delta.content, "")
        if chunk.roundhouse and (line := describe(chunk.roundhouse)):
            self.end_line()
            self.console.print(line, soft_wrap=True)

    def write(self, words: str | None, style: str) -> None:
        if words:
            self.console.print(Text(words, style=style), end="", soft_wrap=True)
            self.open_line = not words.endswith("\n")

    def end_line(self) -> None:
        if self.open_line:
            self.console.print()
            self.open_line = False


def describe(event: ToolEvent) -> Text | None:
    """A tool event as a line; None for those that tell a reader nothing new."""
    if event.event == "tool_call":
        return Text(f"→ {event.name}({arguments(event.arguments)})", style="cyan")
    if event.event == "tool_started" and event.expected_s:
        return Text(f"  {event.name} usually takes {span(event.expected_s)}", style="dim")
    if event.event == "tool_finished":
        took = f" in {event.took_s:.2f} s" if event.took_s is not None else ""
        if event.failed:
            return Text(f"✗ {event.name}: {event.outcome}{took}", style="red")
        return Text(f"✓ {event.name} done{took}", style="green")
    return None


def arguments(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value or {}, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"


def span(range_s: tuple[float, float]) -> str:
    low, high = range_s
    return f"{low:.2g} to {high:.2g} s"
