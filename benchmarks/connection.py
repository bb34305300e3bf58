"""One keep-alive connection that sends chat requests back to back."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from benchmarks.framing import Body, FramingError, parse_head
from benchmarks.tally import Tally


@dataclass(slots=True)
class Samples:
    """What all connections of a run saw inside its window; times in seconds."""

    measuring: bool = False
    ttft_s: list[float] = field(default_factory=list)
    gap_s: list[float] = field(default_factory=list)
    request_s: list[float] = field(default_factory=list)
    events: int = 0
    tokens: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


class Reply:
    """One reply as it arrives, and which of its events fall inside the window."""

    __slots__ = (
        "_body", "_head", "began_inside", "events_before", "events_until", "keep_alive",
        "last_s", "retry_after", "sent_s", "status", "tally", "timed",
    )  # fmt: skip

    def __init__(self, *, began_inside: bool) -> None:
        self.began_inside = began_inside
        self.sent_s = self.last_s = time.perf_counter()
        self.status = 0
        self.keep_alive = True
        self.retry_after: bytes | None = None
        self.tally = Tally()
        self.timed = False
        self.events_before = 0
        self.events_until: int | None = None
        self._head = b""
        self._body: Body | None = None

    @property
    def complete(self) -> bool:
        """Whether the body has ended."""
        return self._body is not None and self._body.done

    def feed(self, data: bytes) -> int:
        """Take a segment and return how many events began in it; raises FramingError."""
        body = self._body
        if body is None:
            self._head += data
            head, mark, data = self._head.partition(b"\r\n\r\n")
            if not mark:
                return 0
            parsed = parse_head(head)
            self.status, self.keep_alive = parsed.status, parsed.keep_alive
            self.retry_after = parsed.retry_after
            body = self._body = parsed.body
        payload = body.feed(data) if data else b""
        return self.tally.feed(payload) if payload else 0

    def fault(self, *, streamed: bool) -> str | None:
        """Why a complete reply does not count, None if it does."""
        if self.status != 200:
            return f"status {self.status}"
        if streamed and not self.tally.terminated:
            return "the stream ended without [DONE]"
        if not self.tally.tokens:
            return "the reply states no completion tokens"
        return None

    def tokens_inside(self) -> float:
        """Tokens inside the window: a reply that its edge cuts counts by its events."""
        tokens = self.tally.tokens or 0
        if not self.tally.events:
            return tokens if self.events_until is None else 0
        return tokens * self.events_inside() / self.tally.events

    def events_inside(self) -> int:
        """Events inside the window."""
        until = self.tally.events if self.events_until is None else self.events_until
        return until - self.events_before


class Connection(asyncio.Protocol):
    """Sends a request, reads the reply to its end, and sends the next one until stopped.

    A raw protocol, because the generator must cost far less per chunk than what it measures.
    """

    def __init__(self, requests: Iterator[bytes], samples: Samples, *, streamed: bool) -> None:
        """`requests` never end."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._samples = samples
        self._streamed = streamed
        self._going = True
        self._reply: Reply | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take a segment of the reply, wherever the network cut it."""
        reply = self._reply
        if reply is None:
            self._fail("bytes after the reply")
            return
        try:
            if reply.feed(data):
                self._stamp(reply)
            if reply.complete:
                self._finish(reply)
        except FramingError as exc:
            self._fail(str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed: an error unless the reply was complete."""
        if self._reply is not None:
            self._fail("closed before the reply was complete")
        if not self.closed.done():
            self.closed.set_result(None)

    def open_window(self) -> None:
        """Events of the reply in flight count from here on."""
        if self._reply is not None:
            self._reply.events_before = self._reply.tally.events

    def close_window(self) -> None:
        """Events of the reply in flight no longer count; it is read to its end, and is the last."""
        self._going = False
        if self._reply is not None:
            self._reply.events_until = self._reply.tally.events

    def abandon(self) -> None:
        """Give up the reply in flight and count it as an error."""
        if self._reply is not None:
            self._fail("unfinished long after the window closed")

    def _send(self) -> None:
        self._reply = Reply(began_inside=self._samples.measuring)
        self._transport.write(next(self._requests))

    def _stamp(self, reply: Reply) -> None:
        """Note the time of an arrival; events that arrive together are one gap."""
        now = time.perf_counter()
        if reply.timed:
            if self._samples.measuring:
                self._samples.gap_s.append(now - reply.last_s)
        elif reply.tally.text_seen:
            reply.timed = True
            if reply.began_inside:
                self._samples.ttft_s.append(now - reply.sent_s)
        reply.last_s = now

    def _finish(self, reply: Reply) -> None:
        fault = reply.fault(streamed=self._streamed)
        if fault is not None:
            self._fail(fault)
            return
        self._reply = None
        samples = self._samples
        if samples.measuring:
            samples.request_s.append(time.perf_counter() - reply.sent_s)
        if samples.measuring or reply.events_until is not None:
            samples.events += reply.events_inside()
            samples.tokens += reply.tokens_inside()
        if self._going and reply.keep_alive:
            self._send()
        else:
            self._transport.close()

    def _fail(self, reason: str) -> None:
        self._reply = None
        self._samples.errors[reason] += 1
        self._transport.close()
