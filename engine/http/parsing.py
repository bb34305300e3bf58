"""Answers as events, for requests in which the gateway takes part."""

from collections.abc import Iterator

from engine.http.framing import END, Framing, payload
from engine.http.passing import DONE, decoded
from engine.http.tool_calls import CallTracker
from engine.http.wire import REASONS, Answer, Choice
from engine.types import ChoiceDone, Delta, Event, Finished, Started, Usage


class Parsing:
    """One answer. `finished` is the last event once the server has said so."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._framing = Framing(server)
        self._calls = CallTracker()
        self._tokens: dict[int, int] = {}
        self._usage = Usage(0, 0)
        self._started = False
        self.finished: Finished | None = None

    def take(self, data: bytes) -> Iterator[Event]:
        """The events of what has arrived of a stream. Raises EngineError."""
        for event in self._framing.whole(data).split(END)[:-1]:
            said = payload(event)
            if said == DONE:
                self.finished = Finished(self._usage)
                yield self.finished
                return
            if said:
                yield from self._answer(decoded(said, self._server))

    def whole(self, content: bytes) -> Iterator[Event]:
        """The events of an answer that is not streamed. Raises EngineError."""
        said = decoded(content, self._server)
        for choice in said.choices:
            choice.finish_reason = choice.finish_reason or "stop"
        yield from self._answer(said)
        self.finished = Finished(self._usage)
        yield self.finished

    def _answer(self, chunk: Answer) -> Iterator[Event]:
        if chunk.usage is not None:
            self._usage = chunk.usage.usage()
        if not self._started:
            self._started = True
            yield Started(self._usage.prompt_tokens, self._usage.cached_tokens)
        for choice in chunk.choices:
            yield from self._choice(choice)

    def _choice(self, choice: Choice) -> Iterator[Event]:
        pieces, ended = self._calls.take(choice)
        message = choice.delta or choice.message
        text = (choice.text if message is None else message.content) or ""
        reasoning = ""
        if message is not None:
            reasoning = message.reasoning or message.reasoning_content or ""
        if text or reasoning or pieces or choice.logprobs is not None or choice.token_ids:
            yield Delta(
                choice.index,
                text,
                reasoning,
                pieces,
                self._count(choice),
                choice.logprobs,
                choice.token_ids,
            )
        yield from ended
        if choice.finish_reason is not None:
            reason = REASONS.get(choice.finish_reason, "stop")
            yield ChoiceDone(choice.index, reason, choice.stop_reason)

    def _count(self, choice: Choice) -> int:
        """Tokens of the choice so far; a server that doesn't say gives one a piece, or more."""
        new = len(choice.token_ids) if choice.token_ids else 1
        if choice.message is not None:
            new = self._usage.completion_tokens
        tokens = self._tokens[choice.index] = self._tokens.get(choice.index, 0) + new
        return tokens
