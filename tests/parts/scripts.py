"""What scripted engines say: whole turns and their pieces."""

from collections.abc import Iterator, Sequence

from engine.types import (
    ChoiceDone,
    Delta,
    Finished,
    FinishReason,
    Started,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from tests.parts.engine import Step

USAGE = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)


def turn(
    *parts: Step | Sequence[Step], reason: FinishReason = "stop", usage: Usage = USAGE
) -> list[Step]:
    """A whole turn around its parts."""
    return [Started(usage.prompt_tokens), *_flat(parts), ChoiceDone(0, reason), Finished(usage)]


def text(*pieces: str) -> list[Step]:
    """Some text, a piece a token."""
    return [Delta(0, piece, tokens=count + 1) for count, piece in enumerate(pieces)]


def call(name: str, arguments: str = "{}", *, index: int = 0, id: str = "") -> list[Step]:
    """A tool call in three pieces, and the word that it is complete."""
    call_id = id or f"call-{name}-{index}"
    half = len(arguments) // 2
    pieces = (
        ToolCallDelta(index, call_id, name, ""),
        ToolCallDelta(index, None, None, arguments[:half]),
        ToolCallDelta(index, None, None, arguments[half:]),
    )
    deltas = [Delta(0, tool_calls=(piece,), tokens=1) for piece in pieces]
    return [*deltas, ToolCall(0, index, call_id, name, arguments)]


def _flat(parts: Sequence[Step | Sequence[Step]]) -> Iterator[Step]:
    for part in parts:
        if isinstance(part, Sequence):
            yield from part
        else:
            yield part
