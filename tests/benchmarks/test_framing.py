"""Where a reply ends."""

import pytest

from benchmarks.framing import Body, ChunkedBody, FramingError, SizedBody, parse_head

CHUNKED = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\n\r\n"


def fed(body: Body, pieces: list[bytes]) -> bytes:
    return b"".join(body.feed(piece) for piece in pieces)


def test_a_chunked_body_may_be_cut_anywhere() -> None:
    for cut in range(1, len(CHUNKED)):
        body = ChunkedBody()
        assert fed(body, [CHUNKED[:cut], CHUNKED[cut:]]) == b"hello world"
        assert body.done


def test_a_chunked_body_may_arrive_byte_by_byte_and_ends_with_its_last_byte() -> None:
    body = ChunkedBody()
    pieces = [CHUNKED[i : i + 1] for i in range(len(CHUNKED))]
    assert fed(body, pieces[:-1]) == b"hello world"
    assert not body.done
    body.feed(pieces[-1])
    assert body.done


def test_a_trailer_belongs_to_the_body() -> None:
    body = ChunkedBody()
    assert body.feed(b"2\r\nok\r\n0\r\nx-cost: 1\r\n") == b"ok"
    assert not body.done
    body.feed(b"\r\n")
    assert body.done


def test_what_is_no_chunk_size_is_refused() -> None:
    with pytest.raises(FramingError, match="chunk size"):
        ChunkedBody().feed(b"hello\r\n")


def test_a_sized_body_ends_after_its_length() -> None:
    body = SizedBody(5)
    assert body.feed(b"hel") == b"hel"
    assert not body.done
    assert body.feed(b"lo") == b"lo"
    assert body.done
    with pytest.raises(FramingError, match="longer"):
        body.feed(b"!")


def test_a_head_tells_status_keep_alive_and_framing() -> None:
    head = parse_head(b"HTTP/1.1 429 Too Many\r\nConnection: close\r\nContent-Length: 2")
    assert (head.status, head.keep_alive) == (429, False)
    assert isinstance(head.body, SizedBody)
    chunked = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
    assert chunked.keep_alive
    assert isinstance(chunked.body, ChunkedBody)


@pytest.mark.parametrize("head", [b"nonsense", b"HTTP/1.1 200 OK\r\ndate: today"])
def test_a_head_that_cannot_be_delimited_is_refused(head: bytes) -> None:
    with pytest.raises(FramingError):
        parse_head(head)
