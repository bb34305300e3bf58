"""One connection, fed by hand: what is timed, and what counts inside the window."""

import asyncio
from itertools import repeat

from benchmarks.connection import Connection, Samples

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


class Wire(asyncio.Transport):
    """The far end of a connection: keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes | bytearray | memoryview] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def connected(samples: Samples) -> tuple[Connection, Wire]:
    connection, wire = Connection(repeat(b"request"), samples, streamed=True), Wire()
    connection.connection_made(wire)
    return connection, wire


async def test_the_role_is_not_the_first_token_and_gaps_begin_after_it() -> None:
    samples = Samples(measuring=True)
    connection, _ = connected(samples)
    connection.data_received(HEAD + chunk(ROLE))
    assert (len(samples.ttft_s), len(samples.gap_s)) == (0, 0)
    connection.data_received(chunk(TEXT))
    assert (len(samples.ttft_s), len(samples.gap_s)) == (1, 0)
    connection.data_received(chunk(TEXT) + chunk(TEXT))
    assert (len(samples.ttft_s), len(samples.gap_s)) == (1, 1)


async def test_half_an_event_is_no_gap() -> None:
    samples = Samples(measuring=True)
    connection, _ = connected(samples)
    connection.data_received(HEAD + chunk(TEXT))
    cut = chunk(TEXT)
    connection.data_received(cut[:3])
    assert samples.gap_s == []
    connection.data_received(cut[3:])
    assert len(samples.gap_s) == 1


async def test_a_request_from_before_the_window_has_no_time_to_first_token() -> None:
    samples = Samples()
    connection, _ = connected(samples)
    samples.measuring = True
    connection.data_received(HEAD + chunk(TEXT))
    assert samples.ttft_s == []


async def test_a_reply_cut_by_both_edges_of_the_window_counts_by_its_events() -> None:
    samples = Samples()
    connection, wire = connected(samples)
    connection.data_received(HEAD + chunk(ROLE) + chunk(TEXT) + chunk(TEXT))
    samples.measuring = True
    connection.open_window()
    connection.data_received(chunk(TEXT) + chunk(TEXT))
    samples.measuring = False
    connection.close_window()
    connection.data_received(chunk(TEXT) + chunk(USAGE) + chunk(DONE) + b"0\r\n\r\n")
    # Two of eight events, so a quarter of the four tokens that the usage states.
    assert (samples.events, samples.tokens) == (2, 1.0)
    assert samples.request_s == []
    assert wire.closed
    assert len(wire.written) == 1


async def test_a_whole_reply_is_followed_by_the_next_request() -> None:
    samples = Samples(measuring=True)
    connection, wire = connected(samples)
    connection.data_received(HEAD + chunk(TEXT) + chunk(USAGE) + chunk(DONE) + b"0\r\n\r\n")
    assert (samples.events, samples.tokens, len(samples.request_s)) == (3, 4.0, 1)
    assert wire.written == [b"request", b"request"]


async def test_a_reply_that_never_ends_is_an_error_once_abandoned() -> None:
    samples = Samples(measuring=True)
    connection, wire = connected(samples)
    connection.data_received(HEAD + chunk(TEXT))
    connection.abandon()
    assert dict(samples.errors) == {"unfinished long after the window closed": 1}
    assert wire.closed
