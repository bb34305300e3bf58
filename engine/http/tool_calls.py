"""Tool calls whose pieces come one by one, announced when they are complete."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.http.wire import CallPiece, Choice
from engine.types import ToolCall, ToolCallDelta


@dataclass(slots=True)
class _Open:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class CallTracker:
    """The tool calls of one answer.

    A server writes the calls of a choice one after the other: the next one, or the end of the
    choice, completes the one before.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Open] = {}

    @property
    def is_open(self) -> bool:
        """Whether a call has begun that is not complete."""
        return bool(self._open)

    def take(self, choice: Choice) -> tuple[tuple[ToolCallDelta, ...], list[ToolCall]]:
        """The pieces that a choice of a chunk, or of a whole answer, adds; the calls it ends."""
        message = choice.delta or choice.message
        pieces = (message.tool_calls if message is not None else None) or ()
        deltas: list[ToolCallDelta] = []
        ended: list[ToolCall] = []
        for place, piece in enumerate(pieces):
            index = place if piece.index is None else piece.index
            ended += self._end(choice.index, before=index)
            deltas.append(self._add(choice.index, index, piece))
        if choice.finish_reason is not None:
            ended += self._end(choice.index)
        return tuple(deltas), ended

    def _add(self, choice: int, index: int, piece: CallPiece) -> ToolCallDelta:
        call = self._open.setdefault((choice, index), _Open())
        function = piece.function
        name = function.name if function is not None and function.name else None
        arguments = (function.arguments if function is not None else None) or ""
        # Some servers repeat id and name with every piece; ours come once.
        told_id = piece.id if piece.id and not call.id else None
        told_name = name if name and not call.name else None
        call.id, call.name = call.id or piece.id or "", call.name or name or ""
        call.arguments.append(arguments)
        return ToolCallDelta(index, told_id, told_name, arguments)

    def _end(self, choice: int, before: int | None = None) -> Iterator[ToolCall]:
        for key in [key for key in self._open if key[0] == choice and key[1] != before]:
            call = self._open.pop(key)
            yield ToolCall(*key, call.id, call.name, "".join(call.arguments))
