"""How documents are cut: nothing lost, nothing too long, every piece with a place to go to."""

import io
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfWriter

from tools_service.errors import NotText, Unreadable
from tools_service.tools.retrieval.documents import Chunk, chunks
from tools_service.tools.retrieval.outline import markdown, slug
from tools_service.tools.retrieval.pieces import pieces

TEXTS = st.text(st.sampled_from("ab. !?\n\t é"), max_size=600)


def cut(name: str, body: bytes, longest: int = 400, overlap: int = 0) -> list[Chunk]:
    return list(chunks(PurePath(name), body, longest, overlap))


@given(TEXTS, st.integers(10, 100))
def test_pieces_without_overlap_are_the_text(text: str, longest: int) -> None:
    found = list(pieces(text, longest, 0))
    assert "".join(found) == text
    assert all(0 < len(piece) <= longest for piece in found)


@given(TEXTS, st.integers(10, 100), st.data())
def test_pieces_repeat_at_most_the_overlap_and_lose_nothing(
    text: str, longest: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, longest // 2))
    whole = ""
    for piece in pieces(text, longest, overlap):
        assert len(piece) <= longest
        repeated = next(
            length
            for length in range(min(overlap, len(piece), len(whole)), -1, -1)
            if whole.endswith(piece[:length])
            and text.startswith(whole + piece[length:])
            and piece[length:]
        )
        whole += piece[repeated:]
    assert whole == text


def test_a_piece_ends_with_a_paragraph_if_it_is_half_full() -> None:
    text = "One two three four.\n\nFive six. Seven eight nine ten eleven."
    assert list(pieces(text, 40, 0)) == [
        "One two three four.\n\n",
        "Five six. Seven eight nine ten eleven.",
    ]


def test_what_is_said_across_a_cut_is_in_the_next_piece_too() -> None:
    assert list(pieces("One is. Two is. Three is. Four is.", 20, 9)) == [
        "One is. Two is. ",
        "Two is. Three is. ",
        "Four is.",
    ]


def test_a_section_has_the_headings_above_it_and_githubs_anchor() -> None:
    text = "intro\n# Guide\n## Set up\na\n### On Linux (64-bit)\nb\n## Set up\nc\n"
    found = [(one.title, one.anchor, one.text.strip()) for one in markdown(text, "readme")]
    assert found == [
        ("readme", "", "intro"),
        ("Guide > Set up", "set-up", "a"),
        ("Guide > Set up > On Linux (64-bit)", "on-linux-64-bit", "b"),
        ("Guide > Set up", "set-up-1", "c"),
    ]
    assert slug("What's `new` in 2.0?") == "whats-new-in-20"


def test_a_comment_inside_a_fence_is_no_heading() -> None:
    text = "# A\n````sh\n# not one\n```\n# nor this\n````\n# B\nend\n"
    assert [one.title for one in markdown(text, "x")] == ["A", "B"]


def test_a_document_without_a_heading_is_called_by_its_name() -> None:
    assert cut("notes.txt", b"# plain text has none") == [
        Chunk("notes", "", "# plain text has none")
    ]
    assert cut("sub.md", b"## Only a second\nx")[0].title == "sub > Only a second"


def test_a_page_of_html_is_cut_by_its_headings() -> None:
    page = b"<title>T</title><nav>menu</nav><h1>Cats</h1><p>They sleep.</p><h2>Food</h2>fish"
    assert [(one.title, one.content) for one in cut("a.HTML", page)] == [
        ("Cats", "They sleep."),
        ("Cats > Food", "fish"),
    ]


def test_a_line_of_blanks_and_hashes_is_cut_as_fast_as_any() -> None:
    """A pattern for the heading's end would look at every blank again and again."""
    text = f"# x{' ' * 200_000}y{' #' * 200_000}\nbody\n"
    (section,) = markdown(text, "x")
    assert len(section.title) == 200


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_binary_under_a_texts_name_is_told_apart(name: str) -> None:
    with pytest.raises(NotText):
        cut(name, b"ab\0cd")


def test_utf_16_is_text() -> None:
    assert cut("a.txt", "grün".encode("utf-16"))[0].content == "grün"


def test_invisible_characters_do_not_get_into_the_index() -> None:
    assert cut("a.txt", "ev\u200bil\x1b[31m".encode())[0].content == "evil"


def pdf(*pages: str) -> bytes:
    """A PDF that says these words, one string a page."""
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for words in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 150 Td ({words}) Tj ET".encode())
        page[NameObject("/Contents")] = stream
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_is_cut_by_its_pages() -> None:
    assert cut("m.pdf", pdf("Cats sleep", "", "Dogs run")) == [
        Chunk("m", "page=1", "Cats sleep"),
        Chunk("m", "page=3", "Dogs run"),
    ]


@pytest.mark.parametrize("body", [b"", b"%PDF-1.7 nothing", pdf("x")[:150]])
def test_a_damaged_pdf_says_so(body: bytes) -> None:
    with pytest.raises(Unreadable, match="PDF"):
        cut("m.pdf", body)
