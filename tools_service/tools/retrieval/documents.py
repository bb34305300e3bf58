"""Files as documents: which are read, and what is in them."""

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from tools_service.errors import NotText, Unreadable
from tools_service.tools.clean import strip
from tools_service.tools.page import decode, from_html
from tools_service.tools.retrieval.outline import Section, markdown, plain
from tools_service.tools.retrieval.pieces import pieces

VERSION = 1
"""Of the way documents are cut; a new one makes `ingest` read everything again."""

_MOST_PAGES = 5000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document, the unit that is found."""

    title: str
    anchor: str
    content: str


def chunks(path: PurePath, body: bytes, longest: int, overlap: int) -> Iterator[Chunk]:
    """The chunks of a file. Raises Unreadable."""
    for section in _READERS[path.suffix.lower()](body, path.stem):
        for piece in pieces(section.text, longest, overlap):
            if content := piece.strip():
                yield Chunk(section.title, section.anchor, content)


def _markdown(body: bytes, name: str) -> Iterator[Section]:
    return markdown(_text(body), name)


def _plain(body: bytes, name: str) -> Iterator[Section]:
    return plain(_text(body), name)


def _html(body: bytes, name: str) -> Iterator[Section]:
    title, text = from_html(decode(body, None, is_html=True))
    return markdown(text, title or name)


def _pdf(body: bytes, name: str) -> Iterator[Section]:
    try:
        # Optional, and slow to import.
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError as exc:
        raise Unreadable("PDF needs the package pypdf: pip install pypdf") from exc
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns about every odd byte
    try:
        pages = PdfReader(io.BytesIO(body)).pages
        for number in range(min(len(pages), _MOST_PAGES)):
            text = strip(pages[number].extract_text())
            if text.strip():
                yield Section(name, f"page={number + 1}", text)
    except (PyPdfError, ValueError, TypeError, KeyError, RecursionError, ArithmeticError) as exc:
        # What a damaged file makes of the parser's assumptions.
        raise Unreadable(f"a PDF that cannot be read ({type(exc).__name__})") from exc


def _text(body: bytes) -> str:
    if b"\0" in body[:8192] and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotText
    return strip(decode(body, None))


_READERS: Mapping[str, Callable[[bytes, str], Iterator[Section]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".rst": _plain,
    ".txt": _plain,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
SUFFIXES = frozenset(_READERS)
