"""Tool calls whose pieces come one by one, announced when they are complete."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from engine.http.wire import CallPiece, Choice
from engine.types import ToolCall, ToolCallDelta


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    depth: int = 0
    """Braces that are open, those within strings counted too: a hint that saves parsing."""
    told: bool = False

    def add(self, arguments: str) -> None:
        self.arguments.append(arguments)
        self.depth += arguments.count("{") - arguments.count("}")

    @property
    def is_closed(self) -> bool:
        """Whether the arguments are a whole object, which nothing can follow."""
        if self.depth > 0 or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class CallTracker:
    """The tool calls of one answer.

    One is when its arguments close. Of arguments that are no JSON, which the caller must see too,
    the next call or the end of the choice is the end.
    """

    def __init__(self) -> None:
        self._calls: dict[tuple[int, int], _Call] = {}

    @property
    def is_open(self) -> bool:
        """Whether a call has begun whose choice has not ended."""
        return bool(self._calls)

    def take(self, choice: Choice) -> tuple[tuple[ToolCallDelta, ...], list[ToolCall]]:
        """The pieces that a choice of a chunk, or of a whole answer, adds; the calls it ends."""
        message = choice.delta or choice.message
        pieces = (message.tool_calls if message is not None else None) or ()
        if not pieces and not self._calls:
            return (), []
        deltas: list[ToolCallDelta] = []
        ended: list[ToolCall] = []
        for place, piece in enumerate(pieces):
            index = place if piece.index is None else piece.index
            ended += self._end(choice.index, before=index)
            deltas.append(self._add(choice.index, index, piece))
            call = self._calls[choice.index, index]
            if not call.told and call.is_closed:
                call.told = True
                ended.append(_announced((choice.index, index), call))
        if choice.finish_reason is not None:
            ended += self._end(choice.index)
        return tuple(deltas), ended

    def _add(self, choice: int, index: int, piece: CallPiece) -> ToolCallDelta:
        call = self._calls.setdefault((choice, index), _Call())
        function = piece.function
        name = function.name if function is not None and function.name else None
        arguments = (function.arguments if function is not None else None) or ""
        # Some servers repeat id and name with every piece; ours come once.
        told_id = piece.id if piece.id and not call.id else None
        told_name = name if name and not call.name else None
        call.id, call.name = call.id or piece.id or "", call.name or name or ""
        call.add(arguments)
        return ToolCallDelta(index, told_id, told_name, arguments)

    def _end(self, choice: int, before: int | None = None) -> Iterator[ToolCall]:
        for key in [key for key in self._calls if key[0] == choice and key[1] != before]:
            call = self._calls.pop(key)
            if not call.told:
                yield _announced(key, call)


def _announced(key: tuple[int, int], call: _Call) -> ToolCall:
    return ToolCall(*key, call.id, call.name, "".join(call.arguments))
