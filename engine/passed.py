"""Answers as a server wrote them."""

from collections.abc import Iterator

import msgspec


class _Said(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Said | None = None
    message: _Said | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: tuple[_Choice, ...] = ()


_decode = msgspec.json.Decoder(_Answer).decode


class Passed(msgspec.Struct, frozen=True, gc=False):
    """Part of an answer as a server wrote it, for the client as it is.

    Of a stream, one or more whole events; else the whole body. `said` is what a chat's first choice
    says in it, where that is known already.
    """

    data: bytes
    said: str | None = None

    def text(self) -> str:
        """What a chat's first choice says in it; decoded only for those who ask."""
        return "".join(self._texts()) if self.said is None else self.said

    def _texts(self) -> Iterator[str]:
        whole = self.data.startswith(b"{")
        for event in (self.data,) if whole else self.data.split(b"\n\n"):
            content = event if whole else event.removeprefix(b"data:").strip()
            if not content.startswith(b"{"):
                continue  # a comment, or the end
            try:
                choices = _decode(content).choices
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # says something else than a text
            for choice in choices:
                said = choice.delta or choice.message
                if choice.index == 0 and said is not None and said.content:
                    yield said.content
