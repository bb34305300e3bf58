"""Text cut where a reader would cut it: between paragraphs, lines or sentences."""

import re
from collections.abc import Iterator, Sequence

_END = re.compile(r"(?<=[.!?])[ \t]+|\n+")


def pieces(text: str, longest: int, overlap: int) -> Iterator[str]:
    """The text in pieces of at most `longest` characters, nothing lost, in order.

    A piece begins with the last lines or sentences of the one before it, at most `overlap`
    characters of them, so that what is said across a cut can still be found.
    """
    units = list(_units(text, longest - overlap))
    start = done = 0
    while done < len(units):
        done = _fill(units, start, done + 1, longest)
        yield "".join(units[start:done])
        start = _back(units, done, overlap)


def _units(text: str, longest: int) -> Iterator[str]:
    """Sentences and lines with the space behind them; longer ones cut, between words if it goes."""
    start = 0
    for end in (*(found.end() for found in _END.finditer(text)), len(text)):
        while end - start > longest:
            space = text.rfind(" ", start + longest // 2, start + longest) + 1
            cut = space or start + longest
            yield text[start:cut]
            start = cut
        if end > start:
            yield text[start:end]
        start = end


def _fill(units: Sequence[str], start: int, least: int, longest: int) -> int:
    """The end of a piece that begins at `start` and holds the units before `least`."""
    length = sum(map(len, units[start:least]))
    end = least
    paragraph = 0
    while end < len(units) and length + len(units[end]) <= longest:
        if length >= longest // 2 and units[end - 1].endswith("\n\n"):
            paragraph = end
        length += len(units[end])
        end += 1
    return end if end == len(units) else paragraph or end


def _back(units: Sequence[str], end: int, overlap: int) -> int:
    """Where the next piece begins so that it repeats at most `overlap` characters."""
    start, length = end, 0
    while start > 0 and length + len(units[start - 1]) <= overlap:
        start -= 1
        length += len(units[start])
    return start
