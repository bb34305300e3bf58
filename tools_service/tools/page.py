"""The readable text of a document from the web.

A scanner of our own, because the text is all we want and a stranger writes the input: on hostile
pages a full parser takes minutes (html.parser for 60 kB of "<a <a <a", HTML5 tree builders for 1 MB
of nested <div>). This one looks at every character a bounded number of times.
"""

import html
import re
from dataclasses import dataclass

from tools_service.tools.clean import strip

_LONGEST_TAG = 4096
_LONGEST_TITLE = 300
_DEEPEST = 32
# ASCII only: `str.lower` can change the length of a text, and with it all places in it.
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9]*")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s{0,8}=\s{0,8}[\"']?([\w-]{1,40})", re.IGNORECASE)
# Their content is text to a browser's parser: no tag in it ends them but their own.
_RAW = frozenset(("script", "style", "noscript", "template", "textarea", "iframe", "xmp", "title"))
# Around the content, not part of it.
_ASIDE = frozenset(("nav", "footer", "aside", "svg", "math", "select", "button", "dialog"))
_BLOCK = frozenset(
    re.findall(
        r"\S+",
        """address article blockquote body br dd div dl dt fieldset figcaption figure form h1 h2 h3
        h4 h5 h6 head header hr html li main ol p pre section table tbody tfoot thead tr ul""",
    )
)
_LABELS = {"latin-1": "cp1252", "iso-8859-1": "cp1252", "us-ascii": "cp1252", "gb2312": "gb18030"}
# Only these: some of Python's codecs are no encodings of text, and some are slow on purpose-made
# input.
_CODECS = frozenset(
    re.findall(
        r"\S+",
        """utf-8 utf8 utf-16 utf-16le utf-16be cp1252 windows-1250 windows-1251 windows-1252
        windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 iso-8859-2
        iso-8859-5 iso-8859-7 iso-8859-9 iso-8859-15 koi8-r koi8-u shift_jis euc-jp iso-2022-jp
        euc-kr gbk gb18030 big5""",
    )
)


@dataclass(frozen=True, slots=True)
class Document:
    """What the web gave: under which URL in the end, and its media type."""

    url: str
    type: str
    charset: str | None
    body: bytes


def readable(document: Document) -> tuple[str, str]:
    """(title, text) of a document; the title is empty if it has none."""
    is_html = document.type in ("text/html", "application/xhtml+xml")
    text = decode(document.body, document.charset, is_html=is_html)
    return from_html(text) if is_html else ("", strip(text).strip())


def decode(body: bytes, charset: str | None, *, is_html: bool = False) -> str:
    """The text of a body: by byte order mark, header, then the page's own word, else UTF-8."""
    for mark, codec in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(codec, errors="replace").removeprefix("\ufeff")
    if charset is None and is_html and (said := _CHARSET.search(body[:2048])):
        charset = said[1].decode()
    label = (charset or "utf-8").lower()
    codec = _LABELS.get(label, label)
    return body.decode(codec if codec in _CODECS else "utf-8", errors="replace")


def from_html(page: str) -> tuple[str, str]:
    """(title, text) of an HTML page: lines of text, headings marked with #, items with -."""
    scanner = _Scanner(page)
    scanner.scan()
    title = " ".join(strip("".join(scanner.title)).split())
    return title[:_LONGEST_TITLE], _tidy(scanner.content()) or _tidy(scanner.everything())


def _tidy(text: str) -> str:
    lines = (" ".join(line.split()) for line in strip(text).split("\n"))
    kept = "\n".join(line for line in lines if line.strip("-#"))
    return re.sub(r"\n(?=#)", "\n\n", kept)


class _Scanner:
    """Walks over a page once. What stands in menus and footers is said aside."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._lower = page.translate(_LOWER)
        self._at = 0
        self._said: list[tuple[str, bool]] = []
        self._asides: list[str] = []
        self._outermost = 0
        self._gone: set[str] = set()
        self.title: list[str] = []

    def content(self) -> str:
        """The page without its menus. One that never ends is taken for a mistake, and for text."""
        doubtful = self._outermost if self._asides else len(self._said)
        return "".join(
            text for at, (text, aside) in enumerate(self._said) if not aside or at >= doubtful
        )

    def everything(self) -> str:
        """The menus too."""
        return "".join(text for text, _ in self._said)

    def scan(self) -> None:
        page = self._page
        while self._at < len(page):
            start = page.find("<", self._at)
            if start < 0:
                start = len(page)
            self._say(_unescape(page[self._at : start]))
            self._at = start
            if start < len(page):
                self._mark()

    def _mark(self) -> None:
        """Steps over what begins with `<` here."""
        if self._page.startswith("<!--", self._at):
            self._at = self._after("-->", self._at + 4)
        elif self._page.startswith(("<!", "<?"), self._at):
            self._at = self._after(">", self._at + 2)
        elif name := _NAME.match(self._page, self._at + 1):
            self._at = _tag_end(self._page, name.end())
            self._tag(name[0].lower())
        else:
            self._say("<")
            self._at += 1

    def _tag(self, name: str) -> None:
        bare = name.removeprefix("/")
        if name in _RAW:
            self._skip_raw(name)
        elif name in _ASIDE:
            if not self._asides:
                self._outermost = len(self._said)
            self._asides.append(name)
        elif bare in _ASIDE and bare in self._asides[-_DEEPEST:]:
            while self._asides.pop() != bare:
                pass
        if bare in _BLOCK:
            self._say("\n" + _opening(name))
        elif bare in ("td", "th"):
            self._say(" ")

    def _skip_raw(self, name: str) -> None:
        start = self._at
        end = self._after(f"</{name}", start)
        if end == start:
            return
        self._at = _tag_end(self._page, end)
        if name == "title" and not self._asides:
            self.title.append(_unescape(self._page[start : end - len(name) - 2]))

    def _after(self, end: str, start: int) -> int:
        """The place after the next `end`, or `start` again if there is none."""
        if end in self._gone:
            return start
        found = self._lower.find(end, start)
        if found < 0:
            # Searched to the end once; again for each tag would be quadratic.
            self._gone.add(end)
            return start
        return found + len(end)

    def _say(self, text: str) -> None:
        self._said.append((text, bool(self._asides)))


def _tag_end(page: str, at: int) -> int:
    """Just after the `>` of a tag, quoted ones left aside; a tag is not longer than the limit."""
    limit = min(len(page), at + _LONGEST_TAG)
    quote = ""
    for position in range(at, limit):
        character = page[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ">":
            return position + 1
    closed = page.find(">", at, limit)
    return limit if closed < 0 else closed + 1


def _opening(name: str) -> str:
    if name == "li":
        return "- "
    return "#" * int(name[1]) + " " if re.fullmatch(r"h[1-6]", name) else ""


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:
        return text  # a character reference with thousands of digits
