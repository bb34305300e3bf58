"""Chat completions on vLLM: its rendering, its parsers, our events."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.outputs import RequestOutput
from vllm.renderers.chat_utils import ConversationMessage

from engine.types import Call, Event
from engine.vllm.answer import Answer, make_parser
from engine.vllm.prompts import Prompts
from engine.vllm.serving import check_fields
from engine.vllm.translate import checking, from_response, generating


class ChatBackend:
    """Chat completions of one engine."""

    def __init__(
        self,
        name: str,
        serving: OpenAIServingChat,
        refused: Mapping[str, str],
        prompts: Prompts,
    ) -> None:
        self._name = name
        self._serving = serving
        self._refused = refused
        self._prompts = prompts

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Render, generate, parse. Raises EngineError."""
        with checking(self._name, call.body):
            plain, told = self._prompts.split(self._body(call))
            request = self._request(plain)
            shown = request if told is None else self._request(told)
            opened = await self._prompts.open(shown, call, own=told is not None)
            if opened.prompt is not None:
                # vLLM's own way in for a prompt that was tokenized elsewhere.
                request.kv_transfer_params = {"prompt_token_ids": opened.prompt}
            conversation, outputs = await self._begin(request, call)
        answer = Answer(self._serving, request, conversation, self._name)
        async with aclosing(outputs):
            with checking(self._name, call.body):
                first = await anext(outputs)
            with generating(self._name):
                for event in answer.start(first):
                    yield event
                async for output in outputs:
                    if (delta := answer.plain(output)) is not None:
                        yield delta
                        continue
                    for choice in output.outputs:
                        for event in answer.take(choice, output):
                            yield event
                if opened.thread is not None and (said := answer.said()) is not None:
                    opened.thread.close(said)
                yield answer.finish()

    def _body(self, call: Call) -> dict[str, Any]:
        body: dict[str, Any] = {**call.body, "stream": call.stream, "request_id": call.id}
        body.pop("stream_options", None)
        body["model"] = None
        return body

    def _request(self, body: dict[str, Any]) -> ChatCompletionRequest:
        body = dict(body)
        messages = body.get("messages")
        if isinstance(messages, list):
            # vLLM's request model writes into the messages it is given.
            body["messages"] = [dict(m) if isinstance(m, dict) else m for m in messages]
        check_fields(body, ChatCompletionRequest, self._refused)
        return ChatCompletionRequest.model_validate(body)

    async def _begin(
        self, request: ChatCompletionRequest, call: Call
    ) -> tuple[list[ConversationMessage], AsyncGenerator[RequestOutput, None]]:
        serving = self._serving
        template_kwargs = serving._effective_chat_template_kwargs(request)
        rendered = await serving.render_chat_request(request)
        if isinstance(rendered, ErrorResponse):
            raise from_response(rendered, self._name)
        conversation, (prompt,) = rendered
        parser = make_parser(serving, request)
        limit = request.max_completion_tokens
        max_tokens = get_max_tokens(
            serving.model_config.max_model_len,
            request.max_tokens if limit is None else limit,
            serving._extract_prompt_len(prompt),
            serving.default_sampling_params,
            serving.override_max_tokens,
            truncate_prompt_tokens=request.truncate_prompt_tokens,
        )
        if request.use_beam_search:
            beams = request.to_beam_search_params(max_tokens, serving.default_sampling_params)
            return conversation, serving.beam_search(
                prompt=prompt, request_id=call.id, params=beams
            )
        return conversation, serving.engine_client.generate(
            prompt,
            request.to_sampling_params(max_tokens, serving.default_sampling_params),
            call.id,
            priority=request.priority,
            session_id=call.session or request.session_id,
            **serving._engine_reasoning_kwargs(
                request,
                parser,
                template_kwargs,
                serving._extract_prompt_components(prompt).token_ids,
            ),
        )
