"""What a tool is, and the list of those that are served."""

import json
import math
from collections.abc import (
    Awaitable,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Literal, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing.exceptions import Unresolvable
from referencing.jsonschema import EMPTY_REGISTRY

from tools_service.errors import BadArguments, BadOutput, NameTaken, UnknownTool, Withdrawn
from tools_service.records import Kind
from tools_service.tools.asks import NOTHING, Ask, Inputs

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
    task: Literal["forbidden", "optional", "required"] = "forbidden"
    """Whether a call runs on as a task, where the client can handle one."""
    needs: Mapping[str, Ask] = field(default_factory=dict, hash=False)
    """What the user is asked before the tool starts."""

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
    inputs: Inputs = field(default=NOTHING, hash=False)


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
    block the event loop. It raises ToolFailed with a text for the model, and of its kinds Transient
    where the same call may succeed a moment later: what is read-only or idempotent is tried again;
    InputNeeded to be run anew with answers of the user.
    A read-only tool answers by its arguments, its caller and what that one can be asked alone:
    identical calls share one run.
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
    """The served tools, by name and in the order of their names. It changes while they are served.

    `shape` names the shape of a call's arguments; without, each tool does. Raises NameTaken: a name
    belongs to one tool.
    """

    def __init__(self, tools: Iterable[Tool] = (), shape: Shape | None = None) -> None:
        self._shape: Shape = shape or (lambda tool, arguments: tool.shape(arguments))
        self._tools: dict[str, Tool] = {}
        self._validators: dict[str, Draft202012Validator] = {}
        self._promises: dict[str, Draft202012Validator] = {}
        self._withdrawn: dict[str, str] = {}
        for tool in tools:
            self.add(tool)

    def __iter__(self) -> Iterator[Tool]:
        return iter([self._tools[name] for name in sorted(self._tools)])

    def __contains__(self, name: object) -> bool:
        return name in self._tools or name in self._withdrawn

    def add(self, tool: Tool) -> None:
        """Serves one more tool, or the same tool of the same upstream as it is now."""
        held = self._tools.get(tool.name)
        if held is not None and (held.upstream is None or held.upstream != tool.upstream):
            raise NameTaken(tool.name, owner(held.upstream), owner(tool.upstream))
        self._validators[tool.name] = _validator(tool.input_schema)
        self._promises.pop(tool.name, None)
        if tool.output_schema is not None:
            self._promises[tool.name] = _validator(tool.output_schema)
        self._tools[tool.name] = tool
        self._withdrawn.pop(tool.name, None)

    def withdraw(self, name: str, upstream: str, why: str) -> None:
        """Serves this upstream's tool no more; who calls it anyhow is told why."""
        held = self._tools.get(name)
        if held is None or held.upstream == upstream:
            self._tools.pop(name, None)
            self._validators.pop(name, None)
            self._promises.pop(name, None)
            self._withdrawn[name] = why

    def schema(self, name: str) -> dict[str, object] | None:
        """The input schema of a served tool."""
        tool = self._tools.get(name)
        return None if tool is None else dict(tool.input_schema)

    def find(self, name: str, allowed: Container[str] | None = None) -> Tool:
        """The tool, for a caller who is `allowed` these.

        Raises UnknownTool, with the names there are for this caller, and Withdrawn.
        """
        may = allowed is None or name in allowed
        if may and name in self._withdrawn:
            raise Withdrawn(name, self._withdrawn[name])
        if not may or name not in self._tools:
            known = (tool for tool in sorted(self._tools) if allowed is None or tool in allowed)
            raise UnknownTool(name, tuple(known))
        return self._tools[name]

    def check(self, tool: Tool, arguments: Arguments) -> None:
        """Raises BadArguments: the SDK does not compare arguments with the schema."""
        try:
            error = best_match(self._validators[tool.name].iter_errors(arguments))
        except Unresolvable as exc:
            raise BadArguments(f"the schema of {tool.name} refers to nothing: {exc}") from exc
        if error is not None:
            where = "/".join(str(part) for part in error.absolute_path) or "arguments"
            raise BadArguments(f"{where}: {error.message[:_LONGEST_COMPLAINT]}")

    def verify(self, tool: Tool, output: Output) -> None:
        """Raises BadOutput: clients refuse what does not keep the output schema's promise."""
        promise = self._promises.get(tool.name)
        error = best_match(promise.iter_errors(output.structured)) if promise else None
        if error is not None:
            where = "/".join(str(part) for part in error.absolute_path) or "the result"
            raise BadOutput(f"{where} breaks {'/'.join(map(str, error.schema_path))}")

    def shape(self, tool: Tool, arguments: Arguments) -> str:
        """The shape of these arguments, short and plain enough for a table."""
        shape = self._shape(tool, arguments)[:_LONGEST_SHAPE]
        return shape.encode("ascii", "replace").decode()


def _validator(schema: Schema) -> Draft202012Validator:
    # No registry but the empty one: a schema of somebody else's must not make us fetch URLs.
    return Draft202012Validator(schema, registry=EMPTY_REGISTRY)


def owner(upstream: str | None) -> str:
    """Whose tool it is, for people."""
    return "the service itself" if upstream is None else f"upstream {upstream}"


def size_shape(arguments: Arguments) -> str:
    """The shape for tools without a better idea: the arguments' size in powers of two."""
    return f"size:{min(int(math.log2(1 + len(canonical(arguments)))), 15)}"


def canonical(arguments: Arguments) -> bytes:
    """Equal for equal arguments, whatever the order of their names; ASCII."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=str).encode()
