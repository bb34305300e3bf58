"""Answers as a server wrote them."""

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
        if self.said is not None:
            return self.said
        data = self.data
        if data.startswith(b"{"):
            return _said_in(data)
        if data.startswith(b"data: {") and data.find(b"\n\n") == len(data) - 2:
            return _said_in(data[6:-2])  # one event, as nearly always
        payloads = (event.removeprefix(b"data:").strip() for event in data.split(b"\n\n"))
        # The others are comments, and the end.
        return "".join([_said_in(said) for said in payloads if said.startswith(b"{")])


def _said_in(content: bytes) -> str:
    try:
        choices = _decode(content).choices
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""  # it says something else than a text
    text = ""
    for choice in choices:
        said = choice.delta or choice.message
        if choice.index == 0 and said is not None and said.content:
            text += said.content
    return text
