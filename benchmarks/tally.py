"""What one reply's payload says: events, first text, tokens, whether it ended well."""

import re

_EVENT = b"\n\ndata: "
_DONE = b"data: [DONE]\n\n"
# A first delta with an empty string is the role, not a token.
_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning)":\s*"(?!")')
_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
# Long enough for the usage that ends a reply, and for any mark cut in two.
_TAIL = 1024


class Tally:
    """Counts over the payload of one reply; pieces may be cut anywhere."""

    __slots__ = ("_tail", "events", "text_seen")

    def __init__(self) -> None:
        # A stream's first event has no blank line before it.
        self._tail = b"\n\n"
        self.events = 0
        self.text_seen = False

    def feed(self, payload: bytes) -> int:
        """Take a piece and return how many server-sent events began in it."""
        tail = self._tail
        data = tail + payload
        # JSON escapes newlines, so this mark never occurs inside an event's text.
        began = data.count(_EVENT, max(0, len(tail) - len(_EVENT) + 1))
        if not self.text_seen:
            self.text_seen = _TEXT.search(data) is not None
        self._tail = data[-_TAIL:]
        self.events += began
        return began

    @property
    def tokens(self) -> int | None:
        """Completion tokens as the reply's usage states them, None if it states none."""
        stated = _TOKENS.findall(self._tail)
        return int(stated[-1]) if stated else None

    @property
    def terminated(self) -> bool:
        """Whether the stream ended with `[DONE]`."""
        return self._tail.endswith(_DONE)
