"""A response body taken in under limits: on the wire, and after decompression."""

import zlib

from tools_service.errors import ToolFailed

_GZIP = 31  # zlib's window bits for a gzip stream


class Unpacker:
    """Collects a body piece by piece and refuses the piece that makes it too long.

    Decompression stops at the limit as well, so a bomb costs no more memory than an honest page.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        """`encoding` is the Content-Encoding. Raises ToolFailed for one we did not ask for."""
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise ToolFailed(
                f"the page came in an encoding that was not asked for: {encoding[:40]!r}"
            )
        self._gzip = zlib.decompressobj(_GZIP) if "gzip" in encoding else None
        self._limit = limit
        self._wire = 0
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Raises ToolFailed beyond the limit, and when it is not gzip."""
        self._wire += len(chunk)
        self._body += self._inflate(chunk)
        if max(self._wire, len(self._body)) > self._limit:
            raise ToolFailed(f"the page is larger than {self._limit} bytes")

    def body(self) -> bytes:
        """The whole body. Raises ToolFailed when its end is missing."""
        if self._gzip is not None and self._wire and not self._gzip.eof:
            raise ToolFailed("the page ended in the middle of its compressed data")
        return bytes(self._body)

    def _inflate(self, chunk: bytes) -> bytes:
        if self._gzip is None:
            return chunk
        try:
            # One more than fits shows that it does not; bytes after the end are nobody's.
            return self._gzip.decompress(chunk, self._limit + 1 - len(self._body))
        except zlib.error:
            raise ToolFailed("the page says it is gzip and is not") from None
