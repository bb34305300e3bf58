"""A document as sections: each stretch of text with the headings above it and a place to go to."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_LONGEST_HEADING = 200


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading. `anchor` finds it in the document: a heading, a page, or nothing."""

    title: str
    anchor: str
    text: str


def markdown(text: str, name: str) -> Iterator[Section]:
    """The sections of a Markdown document; one without headings is called by its name."""
    headings = _Headings(name)
    lines: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        if mark := _FENCE.match(line):
            # Only the mark that opened a fence, or a longer one, closes it.
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        heading = None if fence else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield from headings.section(lines)
        lines = []
        headings.enter(len(heading[1]), heading[2].strip().rstrip("#").strip())
    yield from headings.section(lines)


def plain(text: str, name: str) -> Iterator[Section]:
    """Text without any structure we know."""
    if text.strip():
        yield Section(name, "", text)


class _Headings:
    """The headings above the line we are at."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._above: list[tuple[int, str]] = []
        self._anchor = ""
        self._seen: Counter[str] = Counter()

    def enter(self, level: int, heading: str) -> None:
        self._above = [(other, text) for other, text in self._above if other < level]
        self._above.append((level, heading[:_LONGEST_HEADING]))
        anchor = slug(heading)
        number = self._seen[anchor]
        self._seen[anchor] += 1
        self._anchor = f"{anchor}-{number}" if number else anchor

    def section(self, lines: list[str]) -> Iterator[Section]:
        text = "".join(lines)
        if text.strip():
            headings = [heading for _, heading in self._above]
            if not self._above or self._above[0][0] > 1:
                headings.insert(0, self._name)
            yield Section(" > ".join(headings), self._anchor, text)


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return _NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-")[:_LONGEST_HEADING]
