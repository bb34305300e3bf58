"""Text out of pages, whoever wrote them."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.tools.page import _CODECS, Document, decode, from_html, readable

PAGE = """<!doctype html><html><head><title>The &amp; title</title>
<style>p { color: red }</style><script>if (a < b) { "</p>" }</script></head>
<body><nav><a href="/">Home</a></nav>
<h1>Heading</h1><!-- a comment with <b>tags</b> -->
<p>First <b>bold</b> and a <a href="x" title="a > b">link</a>.<p>Second&nbsp;line 1 &lt; 2
<ul><li>one<li>two</ul><table><tr><td>a<td>b</table>
<noscript>turn it on</noscript><footer>Imprint</footer></body></html>"""

MARKUP = st.lists(
    st.sampled_from(
        [
            *("<", ">", "</", "<a ", "<div>", "<nav>", "</nav>", "<title>", "</title>"),
            *("<script>", "</script>", "<!--", "-->", "<!", "'", '"', "=", "&lt;"),
            *("&#x1b;", "&#", "9", "word "),
        ]
    ),
    max_size=60,
).map("".join)


def test_a_page_becomes_its_title_and_its_lines() -> None:
    title, text = from_html(PAGE)
    assert title == "The & title"
    assert text.split("\n") == [
        "# Heading",
        "First bold and a link.",
        "Second line 1 < 2",
        "- one",
        "- two",
        "a b",
    ]


def test_headings_stand_apart() -> None:
    assert from_html("<p>a</p><h2>B</h2><p>c</p>")[1] == "a\n\n## B\nc"


def test_a_page_of_nothing_but_a_menu_is_that_menu() -> None:
    assert from_html("<nav>Home</nav><footer>Imprint</footer>")[1] == "HomeImprint"


def test_a_menu_that_never_ends_hides_nothing() -> None:
    assert from_html("<p>a</p><nav>menu<p>the rest</p>")[1] == "a\nmenu\nthe rest"


def test_a_script_that_never_ends_hides_nothing() -> None:
    assert from_html("<p>a</p><script><p>b</p>")[1] == "a\nb"


@given(MARKUP | st.text())
def test_no_text_breaks_the_scanner_or_leaves_controls(text: str) -> None:
    title, found = from_html(text)
    assert "\x1b" not in title + found
    assert "\n" not in title


@pytest.mark.parametrize(
    "piece",
    [
        *("<a ", "<", "<!", "<!--", "<div>", "<a '>", "<script>", "<title>", "</nav>", "<nav>"),
        *("&", "&#9", "<a x='", '<a ">', "<p", "</", "<svg><title>", "<!-->", "<textarea><nav>"),
    ],
)
def test_a_megabyte_of_anything_is_read_within_the_time_limit(piece: str) -> None:
    """Parsers that keep a tree or start again take minutes for some of these."""
    from_html(piece * (1_000_000 // len(piece)))


def test_a_character_reference_of_thousands_of_digits_is_left_alone() -> None:
    """`html.unescape` raises ValueError for more digits than `int` takes."""
    assert from_html("a &#" + "9" * 5000 + ";")[1].startswith("a &#999")


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b"caf\xe9", "iso-8859-1", "café"),
        ("café".encode(), None, "café"),
        ("\ufeffcafé".encode("utf-16"), "utf-8", "café"),
        (b"\xef\xbb\xbfabc", None, "abc"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b"abc", "rot13", "abc"),
        (b"abc", "no such thing", "abc"),
        (b"\xff\xfe\x00", None, "\ufffd"),
    ],
)
def test_bytes_are_read_in_their_charset(body: bytes, charset: str | None, text: str) -> None:
    assert decode(body, charset) == text


def test_a_page_may_name_its_own_charset() -> None:
    body = '<meta charset="windows-1251"><p>привет'.encode("cp1251")
    assert readable(Document("", "text/html", None, body))[1] == "привет"


def test_every_charset_we_know_python_knows() -> None:
    assert all(codecs.lookup(name) for name in _CODECS)


def test_plain_text_keeps_its_lines_and_tags() -> None:
    assert readable(Document("", "text/plain", None, b"a\r\n<b>\x1b[1mc\n")) == ("", "a\n<b>c")
