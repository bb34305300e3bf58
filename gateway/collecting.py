"""Events as one JSON body."""

from dataclasses import dataclass, field

import msgspec

from engine.types import ChoiceDone, Delta, Finished, Passed, Started, Usage
from gateway.events import LoopReport, ServerCallDone, TurnEvent
from gateway.streaming import report_json, text_choice, tool_event, usage_json
from gateway.wire import ApiRequest


@dataclass(slots=True)
class _Call:
    id: str | None = None
    name: str | None = None
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    logprobs: list[object] = field(default_factory=list)
    token_ids: list[int] | None = None
    done: ChoiceDone | None = None

    def add(self, delta: Delta) -> None:
        self.text.append(delta.text)
        self.reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            call = self.calls.setdefault(piece.index, _Call())
            call.id = piece.id or call.id
            call.name = piece.name or call.name
            call.arguments.append(piece.arguments)
        if delta.logprobs is not None:
            self.logprobs.append(delta.logprobs)
        if delta.token_ids is not None:
            self.token_ids = (self.token_ids or []) + delta.token_ids

    def message(self) -> dict[str, object]:
        text = "".join(self.text)
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for _, call in sorted(self.calls.items())
        ]
        message: dict[str, object] = {
            "role": "assistant",
            # OpenAI says null, not "", beside tool calls.
            "content": text or (None if calls else ""),
            "refusal": None,
        }
        if reasoning := "".join(self.reasoning):
            message["reasoning"] = reasoning
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        return message


class ChatBody:
    """One chat answer as a whole."""

    def __init__(self, request: ApiRequest, answer_id: str, model: str, created: int) -> None:
        self._head: dict[str, object] = {
            "id": answer_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
        }
        self._extra: dict[str, object] = dict(request.echo or {})
        self._choices: dict[int, _Choice] = {}
        self._usage = Usage(0, 0)
        self._tools: list[dict[str, object]] = []
        self._report: LoopReport | None = None
        self._passed: bytes | None = None

    def add(self, event: TurnEvent) -> None:
        """Take the next event."""
        if isinstance(event, Delta):
            self._choices.setdefault(event.index, _Choice()).add(event)
        elif isinstance(event, ChoiceDone):
            self._choices.setdefault(event.index, _Choice()).done = event
        elif isinstance(event, Started | Finished):
            self._extra |= event.extra or {}
            if isinstance(event, Finished):
                self._usage = event.usage
        elif isinstance(event, ServerCallDone):
            self._tools.append({"arguments": event.arguments, **tool_event(event)})
        elif isinstance(event, LoopReport):
            self._report = event
        elif isinstance(event, Passed):
            self._passed = event.data

    def body(self) -> object:
        """OpenAI's answer object."""
        if self._passed is not None:
            return _repeated(self._passed, self._extra)
        choices = [self._choice(index, choice) for index, choice in sorted(self._choices.items())]
        body = {**self._head, "choices": choices, "usage": usage_json(self._usage), **self._extra}
        if self._report is not None:
            body["roundhouse"] = {**report_json(self._report), "tool_calls": self._tools}
        return body

    def _choice(self, index: int, choice: _Choice) -> dict[str, object]:
        done = choice.done
        body: dict[str, object] = {
            "index": index,
            "message": choice.message(),
            "logprobs": _joined(choice.logprobs),
            "finish_reason": done.reason if done is not None else None,
        }
        if done is not None and done.stop_reason is not None:
            body["stop_reason"] = done.stop_reason
        if choice.token_ids is not None:
            body["token_ids"] = choice.token_ids
        return body


def _repeated(passed: bytes, extra: dict[str, object]) -> object:
    """A server's own answer, with what OpenAI's repeats of the request."""
    if not extra:
        return msgspec.Raw(passed)
    return msgspec.json.decode(passed, type=dict[str, object]) | extra


def _joined(parts: list[object]) -> object:
    content = [
        entry for part in parts if isinstance(part, dict) for entry in part.get("content") or ()
    ]
    return {"content": content, "refusal": None} if content else None


class CompletionBody:
    """One text completion as a whole."""

    def __init__(self, request: ApiRequest, answer_id: str, model: str, created: int) -> None:
        self._head: dict[str, object] = {
            "id": answer_id,
            "object": "text_completion",
            "created": created,
            "model": model,
        }
        self._deltas: dict[int, Delta] = {}
        self._done: dict[int, ChoiceDone] = {}
        self._finished = Finished(Usage(0, 0))
        self._passed: bytes | None = None

    def add(self, event: TurnEvent) -> None:
        """Take the next event; a text completion that is not streamed has one `Delta` a choice."""
        if isinstance(event, Delta):
            self._deltas[event.index] = event
        elif isinstance(event, ChoiceDone):
            self._done[event.index] = event
        elif isinstance(event, Finished):
            self._finished = event
        elif isinstance(event, Passed):
            self._passed = event.data

    def body(self) -> object:
        """OpenAI's answer object."""
        if self._passed is not None:
            return msgspec.Raw(self._passed)
        choices = [
            text_choice(delta, self._done.get(index))
            for index, delta in sorted(self._deltas.items())
        ]
        usage = usage_json(self._finished.usage)
        return {**self._head, "choices": choices, "usage": usage, **(self._finished.extra or {})}
