"""One choice of an answer while it grows, and what it was in the end."""

from collections.abc import Sequence
from dataclasses import dataclass

from vllm.parser.abstract_parser import Parser

from engine.vllm.tool_calls import ToolCallTracker


@dataclass(frozen=True, slots=True)
class Said:
    """One whole turn: the tokens read and written, the content, and the calls as (name, arguments).

    The last token written is the one that ended it.
    """

    read: Sequence[int]
    written: Sequence[int]
    content: str
    calls: Sequence[tuple[str, str]]


class Choice:
    """One choice of an answer while it grows."""

    __slots__ = (
        "at_once", "calls", "done", "parser", "raw", "texts", "token_ids", "tokens", "whole",
    )  # fmt: skip

    def __init__(self, index: int, parser: Parser | None, parallel: bool) -> None:
        self.parser = parser
        self.calls = ToolCallTracker(index, parallel)
        self.token_ids: list[int] = []
        self.texts: list[str] = []
        self.raw: list[str] = []
        """What the parser was given, in a stream."""
        self.at_once = 0
        """The most tokens that it was given at once."""
        self.tokens = 0
        self.done = False
        self.whole = False

    def is_text(self, newest: str) -> bool:
        """Whether it is told as text, without calls: what looks like one in it was none."""
        return not self.calls.any and any(map(str.strip, (*self.texts, newest)))
