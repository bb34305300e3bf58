"""Where one HTTP/1.1 reply ends: its head, and its body by length or in chunks."""

from dataclasses import dataclass
from typing import Protocol


class FramingError(Exception):
    """The peer sent something that is not an HTTP/1.1 reply we can delimit."""


class Body(Protocol):
    """A reply's body, fed as it arrives."""

    done: bool

    def feed(self, data: bytes) -> bytes:
        """The payload within `data`, framing removed."""
        ...


class SizedBody:
    """A body whose length the head told, in bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        """The payload within `data`; raises FramingError for bytes past the end."""
        self._left -= len(data)
        if self._left < 0:
            raise FramingError("the body is longer than its Content-Length")
        self.done = self._left == 0
        return data


class ChunkedBody:
    """A body in chunks (RFC 9112, section 7.1), split by the network wherever it likes."""

    def __init__(self) -> None:
        self._rest = b""
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The payload of every chunk that `data` completes; the rest waits for more.

        Raises FramingError for what is not a chunk, and for bytes past the end.
        """
        if self._rest:
            data = self._rest + data
        payload = []
        at, end = 0, len(data)
        while at < end and not self.done:
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                break
            size = _chunk_size(data[at:line_end])
            if size == 0:
                at = self._trailer(data, at, line_end)
                break
            start = line_end + 2
            if start + size + 2 > end:
                break
            payload.append(data[start : start + size])
            at = start + size + 2
        self._rest = data[at:]
        if self.done and self._rest:
            raise FramingError("bytes after the reply")
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _trailer(self, data: bytes, at: int, line_end: int) -> int:
        """Offset after the last chunk and its trailer, or `at` if they are not all here."""
        if data.startswith(b"\r\n", line_end + 2):
            self.done = True
            return line_end + 4
        stop = data.find(b"\r\n\r\n", line_end)
        if stop < 0:
            return at
        self.done = True
        return stop + 4


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError as exc:
        raise FramingError(f"not a chunk size: {line[:40]!r}") from exc


@dataclass(frozen=True, slots=True)
class Head:
    """What a load generator needs of a reply's head."""

    status: int
    keep_alive: bool
    body: Body
    retry_after: bytes | None = None


def parse_head(head: bytes) -> Head:
    """Read a head (status line and fields, without the empty line).

    Raises FramingError if the status or the body's framing cannot be read.
    """
    lines = head.split(b"\r\n")
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip().lower()
    try:
        status = int(lines[0].split(b" ", 2)[1])
    except (IndexError, ValueError) as exc:
        raise FramingError(f"not a status line: {lines[0][:40]!r}") from exc
    keep_alive = fields.get(b"connection") != b"close"
    return Head(status, keep_alive, _body(fields), fields.get(b"retry-after"))


def _body(fields: dict[bytes, bytes]) -> Body:
    if fields.get(b"transfer-encoding") == b"chunked":
        return ChunkedBody()
    length = fields.get(b"content-length", b"")
    if not length.isdigit():
        raise FramingError("neither a Content-Length nor chunked transfer encoding")
    return SizedBody(int(length))
