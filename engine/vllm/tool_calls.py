"""When is a streamed tool call complete?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vllm.entrypoints.generate.base.protocol import (
    DeltaFunctionCall,
    DeltaToolCall,
    FunctionCall,
)
from vllm.renderers.chat_utils import make_tool_call_id

from engine.types import ToolCall, ToolCallDelta


class ObjectScanner:
    """Tells when a JSON object that arrives in pieces has been closed.

    A scan of each character once: parsing all that has come, at every piece, would cost the square
    of the arguments' length.
    """

    __slots__ = ("_depth", "_escaped", "_quoted", "closed")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.closed = False

    def feed(self, text: str) -> None:
        """Take the next piece."""
        for char in text:
            if self._quoted:
                self._in_string(char)
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.closed = True

    def _in_string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._quoted = False


@dataclass(slots=True)
class _Open:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    scanner: ObjectScanner = field(default_factory=ObjectScanner)
    announced: bool = False


class ToolCallTracker:
    """Follows the tool calls of one choice and announces each the moment it is complete."""

    def __init__(self, choice: int, parallel: bool) -> None:
        self._choice = choice
        self._parallel = parallel
        self._calls: dict[int, _Open] = {}

    @property
    def any(self) -> bool:
        """Whether the choice has called a tool."""
        return bool(self._calls)

    def all(self) -> list[tuple[str, str]]:
        """Name and arguments of every call, as far as they have come."""
        return [(call.name, "".join(call.arguments)) for call in self._calls.values()]

    def take(self, deltas: Sequence[DeltaToolCall]) -> tuple[ToolCallDelta, ...]:
        """Translate what vLLM's parser found; without parallel calls only the first counts."""
        return tuple(self._take(delta) for delta in deltas if self._parallel or delta.index == 0)

    def take_whole(self, calls: Sequence[tuple[str, str, str]]) -> tuple[ToolCallDelta, ...]:
        """The same for an answer parsed in one piece: (id, name, arguments) of every call."""
        return self.take(
            [
                DeltaToolCall(
                    index=index,
                    id=call_id,
                    function=DeltaFunctionCall(name=name, arguments=arguments),
                )
                for index, (call_id, name, arguments) in enumerate(calls)
            ]
        )

    def missed(self, calls: Sequence[tuple[str, str, str]]) -> tuple[ToolCallDelta, ...]:
        """What was not streamed of the calls that are in the whole answer; they are told now."""
        found = []
        for index, (call_id, name, arguments) in enumerate(calls):
            if (known := self._calls.get(index)) is None:
                function = DeltaFunctionCall(name=name, arguments=arguments)
                found.append(DeltaToolCall(index=index, id=call_id, function=function))
            elif not known.scanner.closed and arguments.startswith(
                told := "".join(known.arguments)
            ):
                function = DeltaFunctionCall(arguments=arguments[len(told) :])
                found.append(DeltaToolCall(index=index, function=function))
        return self.take(found)

    def _take(self, delta: DeltaToolCall) -> ToolCallDelta:
        function = delta.function
        name = function.name if function is not None else None
        arguments = (function.arguments if function is not None else None) or ""
        call = self._calls.get(delta.index)
        if call is None:
            call = self._calls[delta.index] = _Open(delta.id or "", name or "")
        call.arguments.append(arguments)
        call.scanner.feed(arguments)
        return ToolCallDelta(delta.index, delta.id, name, arguments)

    def complete(self, *, ended: bool = False) -> Iterator[ToolCall]:
        """The calls that have become complete; all that are open, once the choice has `ended`."""
        newest = max(self._calls, default=-1)
        for index, call in self._calls.items():
            if call.announced or not (ended or call.scanner.closed or index < newest):
                continue
            call.announced = True
            yield ToolCall(self._choice, index, call.id, call.name, "".join(call.arguments))


def named(calls: Sequence[FunctionCall] | None) -> list[tuple[str, str, str]]:
    """Id, name and arguments of calls that vLLM has found in a whole answer."""
    return [(call.id or make_tool_call_id(), call.name, call.arguments) for call in calls or ()]
