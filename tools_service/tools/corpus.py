"""A folder of documents as passages: one paragraph each, under its headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SUFFIXES = {".md", ".txt"}
_LARGEST_FILE = 4 * 1024 * 1024
_LONGEST_PASSAGE = 800
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*`]+|^\s*(?:[-+>]|\d+\.)\s+", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be read by itself. `url` is `docs/` and the file's path."""

    title: str
    url: str
    content: str
    opening: bool = False
    """The document begins with it, and so usually says what it is about."""


def passages(folder: Path) -> Iterator[Passage]:
    """All passages below a folder, in the order of the files' names."""
    root = folder.resolve()
    for path in sorted(root.rglob("*")):
        outside = not path.resolve().is_relative_to(root)
        if outside or path.suffix.lower() not in _SUFFIXES or not path.is_file():
            continue
        if path.stat().st_size <= _LARGEST_FILE:
            text = path.read_text(encoding="utf-8", errors="replace")
            yield from _split(text, f"docs/{path.relative_to(root).as_posix()}", path.stem)


def _split(text: str, url: str, name: str) -> Iterator[Passage]:
    document, section, opening = "", "", True
    for block in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        lines = block.strip().splitlines()
        while lines and (heading := _HEADING.match(lines[0].strip())):
            lines.pop(0)
            if document:
                section = heading[1]
            else:
                document = heading[1]
        title = f"{document}: {section}" if section else document or name
        for content in _pieces(_plain("\n".join(lines))):
            yield Passage(title, url, content, opening)
            opening = False


def _plain(markdown: str) -> str:
    return " ".join(_MARKS.sub("", _LINK.sub(r"\1", markdown)).split())


def _pieces(paragraph: str) -> Iterator[str]:
    """A long paragraph in several, cut between sentences where it can be."""
    piece = ""
    for sentence in _SENTENCE.split(paragraph):
        if piece and len(piece) + len(sentence) >= _LONGEST_PASSAGE:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}".strip()
        while len(piece) > _LONGEST_PASSAGE:
            yield piece[:_LONGEST_PASSAGE]
            piece = piece[_LONGEST_PASSAGE:]
    if piece:
        yield piece
