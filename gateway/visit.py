"""One request of a session, from the side of its answer."""

from collections.abc import Callable
from io import StringIO

from engine.types import ChoiceDone, Delta, Finished, Passed, ToolCall
from gateway.conversation import Call
from gateway.events import TurnEvent
from gateway.identity import Claim
from gateway.recognition import Answered, Recognition


class Visit:
    """Recognises a request and hears its answer, so that the next request is recognised too."""

    def __init__(self, recognition: Recognition, claim: Claim, answer_id: str) -> None:
        self._recognition = recognition
        self._request = recognition.recognise(claim)
        self.identity = self._request.identity
        self.is_linked = self._request.is_linked
        """Whether this is the first that is seen of a sub-agent."""
        self.is_last = claim.ends
        """Whether the session ends with this request."""
        self._answer_id = answer_id
        self._is_chat = bool(claim.messages)
        self._is_one = claim.choices == 1
        self._calls: list[Call] = []
        self._said = StringIO()
        self._is_answered = False
        self.end: int | None = None
        """The digest of the conversation with the answer, once that is whole."""
        self.hear_text: Callable[[str], object] = self._said.write
        """Takes a piece of the answer: once a token, so it is the buffer's own method."""
        if not (self._is_chat and self._is_one):
            self.hear_text = _ignore

    @property
    def is_pending(self) -> bool:
        """Whether the client is to return with results of calls."""
        return bool(self._calls)

    @property
    def said(self) -> str:
        """The text so far, of a chat's only choice."""
        return self._said.getvalue()

    def hear(self, event: TurnEvent) -> None:
        """Take an event, before the client is told of it: it may return at once."""
        if type(event) is Passed:  # as many as there are tokens
            if self._is_chat and self._is_one:
                self.hear_text(event.text())
        elif isinstance(event, Delta):
            self.hear_text(event.text)
        elif isinstance(event, ToolCall):
            self._calls.append((event.id, event.name, event.arguments))
            if self._is_chat:
                self._recognition.called(self.identity, event)
        elif isinstance(event, Finished) or (isinstance(event, ChoiceDone) and self._is_one):
            self._answer()

    def _answer(self) -> None:
        if self._is_answered or not self._is_chat:
            return
        self._is_answered = True
        text = self._said.getvalue() if self._is_one else None
        answer = Answered(self._answer_id, text, tuple(self._calls))
        self.end = self._recognition.answered(self._request, answer)


def _ignore(_: str) -> None:
    """Nobody can go on from one of several answers, or from a text completion."""
