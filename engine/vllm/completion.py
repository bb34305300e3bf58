"""Text completions on vLLM: its own serving object answers, its chunks become events."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from vllm.entrypoints.openai.completion.protocol import CompletionRequest, CompletionResponse
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.entrypoints.serve.engine.protocol import ErrorResponse

from engine.errors import EngineError
from engine.types import Call, ChoiceDone, Delta, Event, Finished, Started, Usage
from engine.vllm.serving import check_fields
from engine.vllm.translate import checking, dead, from_response, generating

PREFIX = len("data: ")
DONE = "data: [DONE]\n\n"
CHOICE_FIELDS = frozenset(
    {"prompt_token_ids", "prompt_logprobs", "routed_experts", "token_offsets"}
)
FINAL_FIELDS = ("system_fingerprint", "kv_transfer_params", "ec_transfer_params", "metrics")

_decode = msgspec.json.Decoder().decode


class CompletionBackend:
    """Text completions of one engine."""

    def __init__(
        self, name: str, serving: OpenAIServingCompletion, refused: Mapping[str, str]
    ) -> None:
        self._name = name
        self._serving = serving
        self._refused = refused

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Generate for one or several prompts. Raises EngineError."""
        with checking(self._name, call.body):
            answer = await self._serving.create_completion(self._request(call))
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError  # vLLM answers a cancelled call instead of passing it on
        if isinstance(answer, ErrorResponse):
            raise from_response(answer, self._name)
        if isinstance(answer, CompletionResponse):
            for event in _whole(answer.model_dump(mode="json", exclude_none=True)):
                yield event
            return
        async with aclosing(answer):
            with generating(self._name):
                async for event in self._stream(answer):
                    yield event

    def _request(self, call: Call) -> CompletionRequest:
        body: dict[str, Any] = {**call.body, "stream": call.stream, "request_id": call.id}
        body.pop("stream_options", None)
        check_fields(body, CompletionRequest, self._refused)
        if call.stream:
            body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        if call.session is not None:
            body["session_id"] = call.session
        body["model"] = None
        return CompletionRequest.model_validate(body)

    async def _stream(self, chunks: AsyncGenerator[str, None]) -> AsyncGenerator[Event, None]:
        started = False
        final: dict[str, Any] = {}
        async for text in chunks:
            if text == DONE:
                break
            chunk = _decode(text[PREFIX:])
            if "error" in chunk:
                raise self._failure(ErrorResponse.model_validate(chunk))
            usage = chunk.get("usage") or {}
            if not started:
                started = True
                yield Started(usage.get("prompt_tokens") or 0)
            if not chunk["choices"]:
                final = chunk
            for choice in chunk["choices"]:
                for event in _choice(choice, usage.get("completion_tokens") or 0):
                    yield event
        yield _finished(final)

    def _failure(self, error: ErrorResponse) -> EngineError:
        if self._serving.engine_client.errored:
            return dead(self._name)
        return from_response(error, self._name)


def _whole(body: dict[str, Any]) -> Iterator[Event]:
    yield Started(body["usage"]["prompt_tokens"])
    for choice in body["choices"]:
        yield from _choice(choice, 0)  # nobody counts along with what comes in one piece
    yield _finished(body)


def _choice(choice: dict[str, Any], tokens: int) -> Iterator[Event]:
    index = choice["index"]
    extra = {k: v for k, v in choice.items() if k in CHOICE_FIELDS and v is not None}
    yield Delta(
        index,
        choice["text"],
        tokens=tokens,
        logprobs=choice.get("logprobs"),
        token_ids=choice.get("token_ids"),
        extra=extra or None,
    )
    if choice.get("finish_reason"):
        yield ChoiceDone(index, choice["finish_reason"], choice.get("stop_reason"))


def _finished(body: dict[str, Any]) -> Finished:
    usage = body.get("usage") or {"prompt_tokens": 0}
    details = usage.get("prompt_tokens_details") or {}
    extra = {name: body[name] for name in FINAL_FIELDS if body.get(name) is not None}
    return Finished(
        Usage(
            usage["prompt_tokens"],
            usage.get("completion_tokens") or 0,
            details.get("cached_tokens") or 0,
        ),
        extra or None,
    )
