"""An encoding for a child's lines: UTF-8 in which a line too long becomes an error of its call.

The SDK would keep a line however long it is, and lets us choose nothing about it but the encoding.
"""

import codecs
import json
import re

ENCODING = "roundhouse_lines"
LARGEST = 4 * 1024 * 1024

_HEAD = 512
_ANSWER = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d+|"[^"\\]*")\s*,')


class Decoder(codecs.IncrementalDecoder):
    """Gives whole lines; holds at most `LARGEST` bytes."""

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._held = bytearray()
        self._size = 0

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]  # bytes do
        *ends, rest = bytes(data).split(b"\n")
        lines = []
        for end in ends:
            self._hold(end)
            lines.append(self._take())
        self._hold(rest)
        return "".join(lines)

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= LARGEST:
            self._held += part
        else:
            del self._held[_HEAD:]

    def _take(self) -> str:
        line = bytes(self._held) + b"\n" if self._size <= LARGEST else _instead(self._held)
        self._held.clear()
        self._size = 0
        return line.decode(errors=self.errors)


def _instead(head: bytes | bytearray) -> bytes:
    """What stands for a line too long: an error for who waits for it, nothing if nobody can."""
    found = _ANSWER.match(head)
    if found is None:
        return b""
    message = json.dumps(f"an answer of more than {LARGEST} bytes").encode()
    error = b'{"code":-32603,"message":%b}' % message
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (found[1], error)


def _find(name: str) -> codecs.CodecInfo | None:
    utf8 = codecs.lookup("utf-8")
    if name != ENCODING:
        return None
    return codecs.CodecInfo(utf8.encode, utf8.decode, incrementaldecoder=Decoder, name=ENCODING)


codecs.register(_find)
