"""The tools that the conformance suite calls by name, as tools of this service."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tools_service.errors import ToolFailed
from tools_service.tools.asks import Ask, InputNeeded
from tools_service.tools.registry import (
    Annotations,
    Arguments,
    Context,
    Output,
    Progress,
    Schema,
)

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAF"
    "BQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

Run = Callable[[Arguments, Context], Awaitable[Output]]
NO_ARGUMENTS: Schema = {"type": "object"}


@dataclass
class Fixture:
    """A tool made of a function."""

    name: str
    act: Run
    input_schema: Schema = field(default_factory=lambda: NO_ARGUMENTS)
    output_schema: Schema | None = None
    annotations: Annotations = field(default_factory=lambda: Annotations(False, False, False))
    upstream: str | None = None

    description: str = "A tool of the conformance suite."

    def shape(self, arguments: Arguments) -> str:
        return "any"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        return await self.act(arguments, context)


def task(support: str, needs: Mapping[str, Ask] | None = None) -> Annotations:
    """Annotations of a tool whose calls may, or must, run on as tasks."""
    required = support == "required"
    return Annotations(
        False, False, False, task="required" if required else "optional", needs=needs or {}
    )


def says(output: Output) -> Run:
    """Always the same."""

    async def act(arguments: Arguments, context: Context) -> Output:
        return output

    return act


def form(message: str, **properties: Schema) -> Ask:
    """Asks the user to fill in a form."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Ask("elicitation/create", {"message": message, "requestedSchema": schema})


def sampling(text: str, tokens: int = 100) -> Ask:
    """Asks the client's model."""
    message = {"role": "user", "content": {"type": "text", "text": text}}
    return Ask("sampling/createMessage", {"messages": [message], "maxTokens": tokens})


STRING: Schema = {"type": "string"}
YES_NO: Schema = {"type": "boolean"}
NAME = form("What is your name?", name=STRING)
ROOTS = Ask("roots/list")


def asks(reply: str, state: str | None = None, **wanted: Ask) -> Run:
    """Asks for all of these, then says so, with the answers."""

    async def act(arguments: Arguments, context: Context) -> Output:
        inputs = context.inputs
        if not all(key in inputs.answers for key in wanted) or inputs.state != state:
            raise InputNeeded(wanted, state)
        return Output(f"{reply}: {dict(inputs.answers)}")

    return act


async def two_rounds(arguments: Arguments, context: Context) -> Output:
    inputs = context.inputs
    if inputs.state == "second" and "step2" in inputs.answers:
        return Output(f"done: {dict(inputs.answers)}")
    if inputs.state == "first" and "step1" in inputs.answers:
        raise InputNeeded(
            {"step2": form("Step 2: What is your favorite color?", color=STRING)}, "second"
        )
    raise InputNeeded({"step1": form("Step 1: What is your name?", name=STRING)}, "first")


async def whoever_can(arguments: Arguments, context: Context) -> Output:
    every = {"name": NAME, "model": sampling("Who are you?"), "roots": ROOTS}
    possible = {key: ask for key, ask in every.items() if ask.method in context.inputs.askable}
    if possible and not context.inputs.answers:
        raise InputNeeded(possible)
    return Output(f"answered: {dict(context.inputs.answers)}")


async def progress(arguments: Arguments, context: Context) -> Output:
    for done in (0, 50, 100):
        await context.tell(Progress(done, 100, f"step {done}"))
    return Output("done")


async def fail(arguments: Arguments, context: Context) -> Output:
    raise ToolFailed("This tool intentionally returns an error for testing")


async def fail_later(arguments: Arguments, context: Context) -> Output:
    await asyncio.sleep(0.2)
    raise ToolFailed("this job fails")


async def compute(arguments: Arguments, context: Context) -> Output:
    await asyncio.sleep(float(str(arguments.get("seconds", 0))))
    return Output(f"computed {arguments.get('label', 'it')}")


async def greet(arguments: Arguments, context: Context) -> Output:
    return Output(f"Hello, {arguments['name']}!")


async def remember(arguments: Arguments, context: Context) -> Output:
    return Output(f"the task knows {context.inputs.answers['user_name']}")


async def elicit(arguments: Arguments, context: Context) -> Output:
    message = str(arguments["message"])
    wanted = form(message, username=STRING, email=STRING)
    return await asks("User response", user=wanted)(arguments, context)


async def sample(arguments: Arguments, context: Context) -> Output:
    wanted = sampling(str(arguments["prompt"]))
    return await asks("LLM response", model=wanted)(arguments, context)
