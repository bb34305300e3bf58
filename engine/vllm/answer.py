"""vLLM's outputs of one chat request, turned into events."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import cast

from vllm.entrypoints.generate.base.serving import (
    build_spec_decoding_metrics,
    clamp_prompt_logprobs,
)
from vllm.entrypoints.openai.chat_completion.protocol import (
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionRequest,
)
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.parser.abstract_parser import Parser
from vllm.renderers.chat_utils import ConversationMessage
from vllm.utils.collection_utils import as_list

from engine.errors import EngineFailed
from engine.types import (
    ChoiceDone,
    Delta,
    Event,
    Finished,
    FinishReason,
    Started,
    ToolCallDelta,
    Usage,
)
from engine.vllm.choice import Choice, Said
from engine.vllm.tool_calls import named
from engine.vllm.translate import dead

NO_TOOLS = (None, "none")


def make_parser(serving: OpenAIServingChat, request: ChatCompletionRequest) -> Parser | None:
    """The model's parser for one choice of `request`: parsers keep state."""
    if serving.parser_cls is None:
        return None
    return serving._make_parser(
        request, serving.renderer.tokenizer, serving._effective_chat_template_kwargs(request)
    )


class Answer:
    """Turns vLLM's outputs of one request into events."""

    def __init__(
        self,
        serving: OpenAIServingChat,
        request: ChatCompletionRequest,
        conversation: list[ConversationMessage],
        engine: str,
    ) -> None:
        self._serving = serving
        self._request = request
        self._conversation = conversation
        self._engine = engine
        self._named = isinstance(request.tool_choice, ChatCompletionNamedToolChoiceParam)
        self._counts_reasoning = serving._include_reasoning_tokens_details
        self._choices = [self._choice(index) for index in range(request.n or 1)]
        self._all_plain = (
            len(self._choices) == 1
            and self._choices[0].parser is None
            and not (request.logprobs or request.return_token_ids or self._counts_reasoning)
        )
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._last: RequestOutput | None = None

    def _choice(self, index: int) -> Choice:
        parser = make_parser(self._serving, self._request)
        if parser is not None and self._is_plain(parser):
            parser = None
        return Choice(index, parser, self._request.parallel_tool_calls is not False)

    def _is_plain(self, parser: Parser) -> bool:
        """Whether the parser would only pass the text on, at the price of scanning all of it."""
        return (
            parser.reasoning_parser is None
            and self._request.tool_choice in NO_TOOLS
            and not getattr(parser, "_engine_based", True)
        )

    def start(self, output: RequestOutput) -> Iterator[Event]:
        """The events of the first output."""
        self._prompt_tokens = len(output.prompt_token_ids or ()) + len(
            output.encoder_prompt_token_ids or ()
        )
        self._cached_tokens = output.num_cached_tokens or 0
        yield Started(self._prompt_tokens, self._cached_tokens, self._prompt_fields(output))
        if self._request.echo and (echoed := self._echoed()):
            for index in range(len(self._choices)):
                yield Delta(index, text=echoed)
        for choice in output.outputs:
            yield from self.take(choice, output)

    def _prompt_fields(self, output: RequestOutput) -> dict[str, object] | None:
        fields: dict[str, object] = {}
        if self._request.return_token_ids:
            fields["prompt_token_ids"] = output.prompt_token_ids
        if self._request.return_prompt_text:
            fields["prompt_text"] = output.prompt
        return fields or None

    def _echoed(self) -> str:
        last = self._conversation[-1] if self._conversation else {}
        if last.get("role") != self._serving.get_chat_request_role(self._request):
            return ""
        content = last.get("content") or ""
        if isinstance(content, str):
            return content
        return "\n".join(str(part.get("text", "")) for part in content)

    def plain(self, output: RequestOutput) -> Delta | None:
        """The shortest way for nearly every token of nearly every answer; None if it isn't one."""
        if not self._all_plain:
            return None
        (piece,) = output.outputs
        if piece.finish_reason is not None:
            return None
        choice = self._choices[0]
        choice.tokens += len(piece.token_ids)
        choice.token_ids.extend(piece.token_ids)
        choice.texts.append(piece.text)
        return Delta(0, piece.text, tokens=choice.tokens)

    def take(self, output: CompletionOutput, whole: RequestOutput) -> Iterator[Event]:
        """The events of one choice's new output."""
        self._last = whole
        choice = self._choices[output.index]
        if choice.done:
            return
        reason = output.finish_reason
        self._raise_if_ended_badly(reason)
        tokens = len(output.token_ids)
        choice.tokens += tokens
        choice.token_ids.extend(output.token_ids)
        if choice.parser is None and not self._request.logprobs:
            choice.texts.append(output.text)
            if tokens or output.text:
                token_ids = as_list(output.token_ids) if self._request.return_token_ids else None
                yield Delta(output.index, output.text, tokens=choice.tokens, token_ids=token_ids)
        else:
            yield from self._parsed(choice, output, whole)
        if reason is not None:
            choice.done = True
            choice.whole = reason == "stop" and not isinstance(output.stop_reason, str)
            yield from choice.calls.complete(ended=True)
            yield ChoiceDone(output.index, self._reason(choice, reason), output.stop_reason)

    def _raise_if_ended_badly(self, reason: str | None) -> None:
        if reason == "error":
            raise EngineFailed(f"engine '{self._engine}' failed while it generated this answer")
        if reason == "abort":
            raise dead(self._engine)  # the client's own abort closes the generator instead

    def _parsed(
        self, choice: Choice, output: CompletionOutput, whole: RequestOutput
    ) -> Iterator[Event]:
        hidden = not self._request.include_reasoning and choice.parser is not None
        text, reasoning, calls = self._parse(choice, output, whole)
        choice.texts.append(text)
        logprobs = None if hidden else self._logprobs(output)
        token_ids = None
        if self._request.return_token_ids and not hidden:
            token_ids = as_list(output.token_ids)
        if text or reasoning or calls or logprobs or token_ids:
            yield Delta(output.index, text, reasoning, calls, choice.tokens, logprobs, token_ids)
        yield from choice.calls.complete()

    def _parse(
        self, choice: Choice, output: CompletionOutput, whole: RequestOutput
    ) -> tuple[str, str, tuple[ToolCallDelta, ...]]:
        parser = choice.parser
        if parser is None:
            return output.text, "", ()
        if not self._request.stream:
            return self._parse_whole(parser, choice, output, whole)
        message = parser.parse_delta(
            delta_text=output.text,
            delta_token_ids=as_list(output.token_ids),
            request=self._request,
            prompt_token_ids=whole.prompt_token_ids,
            finished=output.finish_reason is not None,
        )
        choice.raw.append(output.text)
        choice.at_once = max(choice.at_once, len(output.token_ids))
        text = (message.content if message is not None else None) or ""
        reasoning = (message.reasoning if message is not None else None) or ""
        calls = choice.calls.take((message.tool_calls if message is not None else None) or ())
        if output.finish_reason == "stop" and choice.at_once > 1 and not choice.is_text(text):
            calls += self._missed(choice, whole)
        return text, reasoning, calls

    def _missed(self, choice: Choice, whole: RequestOutput) -> tuple[ToolCallDelta, ...]:
        """Calls that vLLM's streaming parsers lose where several tokens come at once."""
        parser = make_parser(self._serving, self._request)
        if parser is None:
            return ()
        _, _, calls = self._read(parser, "".join(choice.raw), choice.token_ids, whole)
        return choice.calls.missed(calls)

    def _parse_whole(
        self, parser: Parser, choice: Choice, output: CompletionOutput, whole: RequestOutput
    ) -> tuple[str, str, tuple[ToolCallDelta, ...]]:
        reasoning, content, calls = self._read(parser, output.text, output.token_ids, whole)
        if not self._request.include_reasoning:
            reasoning = None
        return content or "", reasoning or "", choice.calls.take_whole(calls)

    def _read(
        self, parser: Parser, text: str, token_ids: Sequence[int], whole: RequestOutput
    ) -> tuple[str | None, str | None, list[tuple[str, str, str]]]:
        """The reasoning, the content and the calls of a whole answer."""
        if whole.prompt_token_ids is not None:
            parser.set_prompt_token_ids(whole.prompt_token_ids)
        reasoning, content, calls = parser.parse(
            text,
            self._request,
            enable_auto_tools=self._serving.enable_auto_tools,
            model_output_token_ids=token_ids,
        )
        return reasoning, content, named(None if self._request.tool_choice in NO_TOOLS else calls)

    def _logprobs(self, output: CompletionOutput) -> object:
        if not self._request.logprobs or output.logprobs is None:
            return None
        logprobs = self._serving._create_chat_logprobs(
            token_ids=output.token_ids,
            top_logprobs=output.logprobs,
            tokenizer=self._serving.renderer.tokenizer,
            num_output_top_logprobs=self._request.top_logprobs,
            logprob_token_ids=self._request.logprob_token_ids,
            return_as_token_id=self._request.return_tokens_as_token_ids,
        )
        return cast("object", logprobs.model_dump(mode="json"))

    def _reason(self, choice: Choice, reason: str) -> FinishReason:
        # OpenAI's rule: a call the client named ends with "stop", one the model chose with
        # "tool_calls"; a call cut off by the token limit ends with "length".
        if choice.calls.any and not self._named and reason == "stop":
            return "tool_calls"
        return cast("FinishReason", reason)

    def said(self) -> Said | None:
        """What was read and written; None unless it is one answer that a stop token ended.

        A stop string is cut out of the text, and an answer cut off may end inside a character:
        what a client sends back then is not what the tokens say.
        """
        (choice, *more) = self._choices
        prompt = self._last.prompt_token_ids if self._last is not None else None
        if more or not choice.whole or not choice.token_ids or prompt is None:
            return None
        return Said(prompt, choice.token_ids, "".join(choice.texts), choice.calls.all())

    def finish(self) -> Finished:
        """The last event."""
        reasoning = None
        if self._counts_reasoning:
            reasoning = sum(
                choice.parser.count_reasoning_tokens(tuple(choice.token_ids))
                for choice in self._choices
                if choice.parser is not None
            )
        usage = Usage(
            self._prompt_tokens,
            sum(choice.tokens for choice in self._choices),
            self._cached_tokens,
            reasoning,
        )
        return Finished(usage, self._final_fields())

    def _final_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {}
        if (fingerprint := self._serving.system_fingerprint) is not None:
            fields["system_fingerprint"] = fingerprint
        last = self._last
        if last is None:
            return fields
        if last.prompt_logprobs is not None:
            fields["prompt_logprobs"] = [
                None if row is None else {str(k): dataclasses.asdict(v) for k, v in row.items()}
                for row in clamp_prompt_logprobs(last.prompt_logprobs) or ()
            ]
        if last.kv_transfer_params is not None:
            fields["kv_transfer_params"] = last.kv_transfer_params
        if last.ec_transfer_params is not None:
            fields["ec_transfer_params"] = last.ec_transfer_params
        if len(self._choices) == 1 and (drafts := build_spec_decoding_metrics(last)) is not None:
            fields["metrics"] = {"speculative_decoding": drafts.model_dump(mode="json")}
        return fields
