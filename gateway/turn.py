"""One generation of a request with server-side tools: what it wrote, and what the client sees."""

from collections.abc import Container
from dataclasses import dataclass, field

import msgspec

from engine.types import (
    ChoiceDone,
    Delta,
    Event,
    Finished,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.events import ServerCallDone, ServerCallStarted
from gateway.history import Message


@dataclass(slots=True)
class Turn:
    """One generation of the loop."""

    offered: Container[str]
    """Names of the tools that run here."""
    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, Message] = field(default_factory=dict)
    """Tool messages of our calls, by call id."""
    hidden: set[int] = field(default_factory=set)
    """Indexes of calls that run here and that the client is not shown as its own."""
    theirs: dict[int, int] = field(default_factory=dict)
    """Index of a client's call among all calls → among the client's."""
    done: ChoiceDone | None = None
    finished: Finished | None = None

    is_cut: bool = False

    def cut(self, tokens: int = 0) -> None:
        """End the turn before the model has; what it has written is what there is."""
        self.is_cut = True
        self.done = ChoiceDone(0, "length")
        self.finished = Finished(Usage(0, tokens))

    def message(self) -> Message:
        """The assistant's whole message, as the model wrote it."""
        return {
            "role": "assistant",
            "content": "".join(self.text) or None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ],
        }

    def shown(self, event: Event) -> Event | None:
        """What the client sees of an engine's event: nothing of our own calls."""
        if isinstance(event, Delta):
            return self._shown_delta(event)
        if isinstance(event, ToolCall):
            self.calls.append(event)
            index = self.theirs.setdefault(event.index, len(self.theirs))
            return ToolCall(0, index, event.id, event.name, event.arguments)
        if isinstance(event, ChoiceDone):
            self.done = event
        elif isinstance(event, Finished):
            self.finished = event
        else:
            return event
        return None

    def _shown_delta(self, delta: Delta) -> Delta | None:
        self.text.append(delta.text)
        if not delta.tool_calls:
            return delta
        shown: list[ToolCallDelta] = []
        for piece in delta.tool_calls:
            if piece.name is not None and piece.name in self.offered:
                self.hidden.add(piece.index)
            if piece.index not in self.hidden:
                index = self.theirs.setdefault(piece.index, len(self.theirs))
                shown.append(ToolCallDelta(index, piece.id, piece.name, piece.arguments))
        if not (shown or delta.text or delta.reasoning):
            return None
        return msgspec.structs.replace(delta, tool_calls=tuple(shown))

    def told(self, event: ServerCallStarted | ServerCallDone) -> ServerCallStarted | ServerCallDone:
        """Note a result for the model on its way to the client."""
        if isinstance(event, ServerCallDone):
            self.results[event.id] = {
                "role": "tool",
                "tool_call_id": event.id,
                "content": event.outcome.text,
            }
        return event
