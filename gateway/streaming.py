"""Events as server-sent chunks: OpenAI's shape, and `roundhouse` beside it for tool events."""

from collections.abc import Iterable

import msgspec

from engine.types import ChoiceDone, Delta, Finished, Passed, Started, ToolCallDelta, Usage
from gateway.errors import GatewayError
from gateway.events import (
    LoopReport,
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    TurnEvent,
)
from gateway.wire import ApiRequest

DONE = b"data: [DONE]\n\n"
OPEN = b'"choices":[{"index":0,"delta":{"content":'
DIGITS = 6  # of a second
CLOSE = b'},"logprobs":null,"finish_reason":null}]}\n\n'

encode = msgspec.json.Encoder().encode


def usage_json(usage: Usage) -> dict[str, object]:
    """OpenAI's usage object."""
    body: dict[str, object] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def tool_event(event: ServerCall | ServerCallStarted | ServerCallDone) -> dict[str, object]:
    """A tool event as clients see it."""
    if isinstance(event, ServerCall):
        return {
            "event": "tool_call",
            "id": event.id,
            "name": event.name,
            "arguments": event.arguments,
        }
    if isinstance(event, ServerCallStarted):
        return {
            "event": "tool_started",
            "id": event.id,
            "name": event.name,
            "expected_s": _rounded(event.started.expected_s),
            "wait_s": round(event.started.wait_s, DIGITS),
        }
    outcome = event.outcome
    return {
        "event": "tool_finished",
        "id": event.id,
        "name": event.name,
        "outcome": outcome.outcome,
        "failed": outcome.failed,
        "expected_s": _rounded(outcome.expected_s),
        "wait_s": round(outcome.wait_s, DIGITS),
        "run_s": round(outcome.run_s, DIGITS),
        "took_s": round(outcome.took_s, DIGITS),
        "bytes": outcome.size,
        "truncated": outcome.truncated,
    }


def _rounded(expected_s: tuple[float, float] | None) -> list[float] | None:
    return None if expected_s is None else [round(bound, DIGITS) for bound in expected_s]


def report_json(report: LoopReport) -> dict[str, object]:
    """What the tool loop did, as clients see it."""
    return {
        "event": "report",
        "turns": report.turns,
        "tool_call_count": report.calls,
        "stopped_by": report.stopped_by,
        "tools_missing": report.tools_missing,
    }


def delta_json(delta: Delta) -> dict[str, object]:
    """The `delta` object of a chunk."""
    body: dict[str, object] = {}
    if delta.text:
        body["content"] = delta.text
    if delta.reasoning:
        body["reasoning"] = delta.reasoning
        body["reasoning_content"] = delta.reasoning
    if delta.tool_calls:
        body["tool_calls"] = [_call_json(call) for call in delta.tool_calls]
    return body


def _call_json(call: ToolCallDelta) -> dict[str, object]:
    function: dict[str, object] = {"arguments": call.arguments}
    body: dict[str, object] = {"index": call.index, "function": function}
    if call.name is not None:
        function["name"] = call.name
    if call.id is not None:
        body |= {"id": call.id, "type": "function"}
    return body


class ChatChunks:
    """One streamed chat answer. Bytes of a chunk for an event, empty where it has none."""

    def __init__(self, request: ApiRequest, answer_id: str, model: str, created: int) -> None:
        n = request.body.get("n")
        self._choices = range(n if isinstance(n, int) else 1)  # the engine has not checked it yet
        self._include_usage = request.include_usage
        self._every_chunk = request.usage_on_every_chunk
        self._tokens: dict[int, int] = {}
        self._prompt_tokens = 0
        head = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = b"data: " + encode(head)[:-1] + b","
        self._text_head = self._head + OPEN
        self._extra: dict[str, object] = dict(request.echo or {})
        self._passed = False

    def chunk(self, event: TurnEvent) -> bytes:
        """The bytes of one event."""
        if type(event) is Delta:
            if (
                event.index == 0
                and not event.tool_calls
                and not event.reasoning
                and event.logprobs is None
                and event.token_ids is None
                and not self._every_chunk
            ):
                # The hot path: constants around one encoded string.
                return self._text_head + encode(event.text) + CLOSE
            return self._delta(event)
        if type(event) is Passed:
            return self._pass(event)
        return self._rare(event)

    def _pass(self, event: Passed) -> bytes:
        self._passed = True
        if not self._extra:
            return event.data
        # What OpenAI's answer repeats of the request comes once, with the first chunk.
        extra, self._extra = encode(self._extra), {}
        return event.data.replace(b"{", extra[:-1] + b",", 1)

    def _rare(self, event: TurnEvent) -> bytes:
        if isinstance(event, Started):
            return self._started(event)
        if isinstance(event, ChoiceDone):
            choice: dict[str, object] = {
                "index": event.index,
                "delta": {},
                "logprobs": None,
                "finish_reason": event.reason,
            }
            if event.stop_reason is not None:
                choice["stop_reason"] = event.stop_reason
            return self._line([choice])
        if isinstance(event, Finished):
            return b"" if self._passed else self._finished(event) + DONE
        if isinstance(event, ServerCall | ServerCallStarted | ServerCallDone):
            return self._extension(tool_event(event))
        if isinstance(event, LoopReport):
            return self._extension(report_json(event))
        return b""

    def _started(self, event: Started) -> bytes:
        self._prompt_tokens = event.prompt_tokens
        extra = {**self._extra, **(event.extra or {})}
        first = {"role": "assistant", "content": ""}
        return b"".join(
            self._line(
                [{"index": index, "delta": first, "logprobs": None, "finish_reason": None}],
                extra,
            )
            for index in self._choices
        )

    def _delta(self, event: Delta) -> bytes:
        self._tokens[event.index] = event.tokens
        choice: dict[str, object] = {
            "index": event.index,
            "delta": delta_json(event),
            "logprobs": event.logprobs,
            "finish_reason": None,
        }
        if event.token_ids is not None:
            choice["token_ids"] = event.token_ids
        return self._line([choice])

    def _extension(self, body: dict[str, object]) -> bytes:
        # With an empty delta rather than without choices: many clients read choices[0] unasked.
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
        return self._line([choice], {"roundhouse": body})

    def _finished(self, event: Finished) -> bytes:
        if not self._include_usage:
            return b""
        extra = dict(event.extra or {})
        return self._line([], {"usage": usage_json(event.usage), **extra})

    def _line(
        self, choices: Iterable[dict[str, object]], extra: dict[str, object] | None = None
    ) -> bytes:
        body: dict[str, object] = {"choices": choices}
        if self._every_chunk:
            done = sum(self._tokens.values())
            body["usage"] = usage_json(Usage(self._prompt_tokens, done))
        if extra:
            body |= extra
        return self._head + encode(body)[1:] + b"\n\n"


class CompletionChunks:
    """One streamed text completion."""

    def __init__(self, request: ApiRequest, answer_id: str, model: str, created: int) -> None:
        self._include_usage = request.include_usage
        self._every_chunk = request.usage_on_every_chunk
        self._tokens: dict[int, int] = {}
        self._prompt_tokens = 0
        head = {"id": answer_id, "object": "text_completion", "created": created, "model": model}
        self._head = b"data: " + encode(head)[:-1] + b","
        self._passed = False

    def chunk(self, event: TurnEvent) -> bytes:
        """The bytes of one event."""
        if type(event) is Passed:
            self._passed = True
            return event.data
        if isinstance(event, Delta):
            self._tokens[event.index] = event.tokens
            return self._line([text_choice(event, None)])
        if isinstance(event, ChoiceDone):
            return self._line([text_choice(Delta(event.index), event)])
        if isinstance(event, Finished):
            if self._passed:
                return b""
            usage = b""
            if self._include_usage:
                usage = self._line([], {"usage": usage_json(event.usage), **(event.extra or {})})
            return usage + DONE
        if isinstance(event, Started):
            self._prompt_tokens = event.prompt_tokens
        return b""

    def _line(
        self, choices: list[dict[str, object]], extra: dict[str, object] | None = None
    ) -> bytes:
        body: dict[str, object] = {"choices": choices, **(extra or {})}
        if self._every_chunk and choices:
            body["usage"] = usage_json(Usage(self._prompt_tokens, sum(self._tokens.values())))
        return self._head + encode(body)[1:] + b"\n\n"


def text_choice(delta: Delta, done: ChoiceDone | None) -> dict[str, object]:
    """A choice of a text completion, whole or in pieces."""
    choice: dict[str, object] = {
        "index": delta.index,
        "text": delta.text,
        "logprobs": delta.logprobs,
        "finish_reason": done.reason if done is not None else None,
        "stop_reason": done.stop_reason if done is not None else None,
    }
    if delta.token_ids is not None:
        choice["token_ids"] = delta.token_ids
    if delta.extra:
        choice |= delta.extra
    return choice


def error_chunk(error: GatewayError) -> bytes:
    """The last bytes of a stream that broke after it began."""
    return b"data: " + encode(error.body()) + b"\n\n"
