"""Answers passed on as the server wrote them.

Only what the gateway acts on is read: usage, tool calls, errors and the end. They stand in few
chunks of a stream, found by marks that no ordinary chunk has.
"""

from collections.abc import Iterator

import msgspec

from engine.errors import EngineFailed
from engine.http.framing import END, Framing, payload
from engine.http.tool_calls import CallTracker
from engine.http.translate import from_event
from engine.http.wire import Answer, answer
from engine.types import Event, Finished, Passed, Usage

DONE = b"[DONE]"
# Within a JSON string quotes are escaped, so none but a real field looks like the quoted ones.
USAGE, USAGE_SPACED = b'"usage":{', b'"usage": {'
CALLS, CALLS_SPACED = b'"tool_calls":[{', b'"tool_calls": [{'
ERROR = b'"error"'


class Renaming:
    """The model's name there, put into the words of the client's."""

    def __init__(self, there: str, here: str) -> None:
        said, wanted = (msgspec.json.encode(name) for name in (there, here))
        field = b'"model":'
        self._pairs = [(field + gap + said, field + gap + wanted) for gap in (b"", b" ")]

    def __call__(self, data: bytes) -> bytes:
        """Rename wherever the field stands."""
        for there, here in self._pairs:
            data = data.replace(there, here)
        return data


class Passing:
    """One stream. `finished` is the last event once the server has said so."""

    def __init__(self, server: str, include_usage: bool, renaming: Renaming | None) -> None:
        self._server = server
        self._include_usage = include_usage
        self._renaming = renaming
        self._framing = Framing(server)
        self._calls = CallTracker()
        self._usage = Usage(0, 0)
        self.finished: Finished | None = None

    def take(self, data: bytes) -> Iterator[Event]:
        """The events of what has arrived. Raises EngineError."""
        if not (self._framing.is_clean and data.endswith(END)) or b"\r" in data:
            data = self._framing.whole(data)
        if not data:
            return
        if not self._calls.is_open and _is_plain(data):
            yield Passed(data if self._renaming is None else self._renaming(data))
            return
        yield from self._read(data)

    def _read(self, data: bytes) -> Iterator[Event]:
        passed: list[bytes] = []
        calls: list[Event] = []
        for event in data.split(END)[:-1]:
            said = payload(event)
            if said == DONE:
                self.finished = Finished(self._usage)
            elif said:
                chunk = decoded(said, self._server)
                if self._is_ours(chunk):
                    continue
                for choice in chunk.choices:
                    calls += self._calls.take(choice)[1]
            passed.append(event + END)
            if self.finished is not None:
                break
        yield from calls  # first: a client that has them may come back at once
        if passed:
            whole = b"".join(passed)
            yield Passed(whole if self._renaming is None else self._renaming(whole))
        if self.finished is not None:
            yield self.finished

    def _is_ours(self, chunk: Answer) -> bool:
        """Note the usage; true of a chunk that only we have asked for."""
        if chunk.usage is None:
            return False
        self._usage = chunk.usage.usage()
        return not chunk.choices and not self._include_usage


def whole(content: bytes, server: str, renaming: Renaming | None) -> Iterator[Event]:
    """The events of an answer that is not streamed. Raises EngineError."""
    said = decoded(content, server)
    calls, text = CallTracker(), ""
    for choice in said.choices:
        choice.finish_reason = choice.finish_reason or "stop"
        yield from calls.take(choice)[1]
        if choice.index == 0 and choice.message is not None:
            text += choice.message.content or ""
    yield Passed(content if renaming is None else renaming(content), text)
    yield Finished(said.usage.usage() if said.usage is not None else Usage(0, 0))


def _is_plain(data: bytes) -> bool:
    return not (
        USAGE in data
        or CALLS in data
        or DONE in data
        or ERROR in data
        or USAGE_SPACED in data
        or CALLS_SPACED in data
    )


def decoded(said: bytes, server: str) -> Answer:
    """A chunk or a whole answer. Raises EngineFailed, also for an error told in it."""
    try:
        chunk = answer(said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineFailed(f"{server} answered what is not OpenAI's: {error}") from error
    if chunk.error is not None:
        raise from_event(server, chunk.error)
    return chunk
