"""A stream of server-sent events, cut into whole ones wherever the network cut it."""

from engine.errors import EngineFailed

LIMIT = 2**22
END = b"\n\n"


class Framing:
    """Keeps what is not yet a whole event."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._rest = b""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is kept."""
        return not self._rest

    def whole(self, data: bytes) -> bytes:
        """The whole events up to here, with line ends of one byte. Raises EngineFailed."""
        data = self._rest + data
        if b"\r" in data:  # never within JSON; kept whole if the network cut between the two
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(END) + len(END)
        if end < len(END):
            end = 0
        self._rest = data[end:]
        if len(self._rest) > LIMIT:
            raise EngineFailed(f"{self._server} sent an event of more than {LIMIT} bytes")
        return data[:end]


def payload(event: bytes) -> bytes:
    """The data of one event; empty for a comment or a keep-alive."""
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
