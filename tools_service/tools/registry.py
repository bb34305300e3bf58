"""What a tool is, and the list of those that are served."""

import json
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tools_service.errors import BadArguments, UnknownTool
from tools_service.records import Kind

Arguments = Mapping[str, object]
Schema = Mapping[str, object]

_LONGEST_SHAPE = 64
_LONGEST_COMPLAINT = 300


@dataclass(frozen=True, slots=True)
class Annotations:
    """MCP's hints about a tool; they also choose its prior in the runtime table."""

    read_only: bool
    idempotent: bool
    open_world: bool

    @property
    def kind(self) -> Kind:
        """Which tools take about as long as this one, before anything is measured."""
        if not self.read_only:
            return "code"
        return "open" if self.open_world else "closed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come, in units of the tool's own; `total` is None where nobody knows."""

    done: float
    total: float | None = None
    message: str | None = None


Tell = Callable[[Progress], Awaitable[None]]


async def untold(progress: Progress) -> None:
    """For callers that did not ask for progress."""


@dataclass(frozen=True, slots=True)
class Context:
    """Who calls: ids for a tool that keeps state per session, nothing to authorise with.

    `caller` names who the token belongs to; `tell` passes progress on and may be awaited often.
    """

    session: str | None = None
    group: str | None = None
    caller: str = ""
    tell: Tell = field(default=untold, compare=False)


@dataclass(frozen=True, slots=True)
class Output:
    """A result: text for the model and, for a tool with an output schema, the same as JSON."""

    text: str
    structured: Mapping[str, object] | None = None
    origin: str | None = None
    """Where the text comes from; an open-world tool names more than itself."""
    blocks: Sequence[Mapping[str, object]] = ()
    """What is not text (images, audio, resources), as MCP writes content blocks."""


class Tool(Protocol):
    """A function the model may call.

    `run` is cancelled when the caller leaves or the time is up: it must stop then, and must not
    block the event loop. It raises ToolFailed with a text for the model.
    """

    name: str
    description: str
    input_schema: Schema
    output_schema: Schema | None
    annotations: Annotations
    upstream: str | None
    """The service behind it, which fails and is limited as one; None for a tool that needs none."""

    def shape(self, arguments: Arguments) -> str:
        """Names the calls that take about as long as this one: few values, no user text."""
        ...

    async def run(self, arguments: Arguments, context: Context) -> Output:
        """Does it. The arguments already match the input schema."""
        ...


Shape = Callable[[Tool, Arguments], str]


class Registry:
    """The served tools, by name and in the order of their names.

    `shape` names the shape of a call's arguments; without, each tool does.
    """

    def __init__(self, tools: Iterable[Tool], shape: Shape | None = None) -> None:
        self._shape: Shape = shape or (lambda tool, arguments: tool.shape(arguments))
        self._tools = {tool.name: tool for tool in sorted(tools, key=lambda tool: tool.name)}
        self._validators = {
            name: Draft202012Validator(tool.input_schema) for name, tool in self._tools.items()
        }

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def find(self, name: str) -> Tool:
        """Raises UnknownTool, with the names there are."""
        try:
            return self._tools[name]
        except KeyError:
            raise UnknownTool(name, tuple(self._tools)) from None

    def check(self, tool: Tool, arguments: Arguments) -> None:
        """Raises BadArguments: the SDK does not compare arguments with the schema."""
        error = best_match(self._validators[tool.name].iter_errors(arguments))
        if error is not None:
            where = "/".join(str(part) for part in error.absolute_path) or "arguments"
            raise BadArguments(f"{where}: {error.message[:_LONGEST_COMPLAINT]}")

    def shape(self, tool: Tool, arguments: Arguments) -> str:
        """The shape of these arguments, short and plain enough for a table."""
        shape = self._shape(tool, arguments)[:_LONGEST_SHAPE]
        return shape.encode("ascii", "replace").decode()


def size_shape(arguments: Arguments) -> str:
    """The shape for tools without a better idea: the arguments' size in powers of two."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=str)
    return f"size:{min(int(math.log2(1 + len(canonical))), 15)}"
