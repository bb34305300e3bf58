"""What is read of a server's answer; everything else is passed over."""

import msgspec

from engine.types import FinishReason, Usage

REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "abort": "abort",
    "repetition": "repetition",
}


class Function(msgspec.Struct):
    """Name and arguments, or pieces of them."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(msgspec.Struct):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    """A choice's message, or what a chunk adds to it."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallPiece] | None = None


class Choice(msgspec.Struct):
    """One choice; chats have a message or a delta, completions a text."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    logprobs: object = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None


class PromptDetails(msgspec.Struct):
    """Of the prompt's tokens."""

    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """Of the completion's tokens."""

    reasoning_tokens: int | None = None


class Counts(msgspec.Struct):
    """OpenAI's usage object."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def usage(self) -> Usage:
        """As ours."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        cached = prompt.cached_tokens if prompt is not None else None
        return Usage(
            self.prompt_tokens or 0,
            self.completion_tokens or 0,
            cached or 0,
            completion.reasoning_tokens if completion is not None else None,
            cached is not None,
        )


class Answer(msgspec.Struct):
    """A chunk of a stream, or a whole answer."""

    choices: list[Choice] = []
    usage: Counts | None = None
    error: object = None


class ErrorBody(msgspec.Struct):
    """What is said of an error; servers differ in nearly all of it."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class Refusal(msgspec.Struct):
    """The body beside a status that is not 200."""

    error: ErrorBody | str | None = None
    message: str | None = None
    detail: object = None


class Card(msgspec.Struct):
    """One model of the server's list."""

    id: str
    max_model_len: int | None = None


class ServerInfo(msgspec.Struct):
    """What SGLang says of itself; the pool is that of one rank."""

    max_total_num_tokens: int = 0
    dp_size: int = 1


class Cards(msgspec.Struct):
    """The server's list of models."""

    data: list[Card] = []


answer = msgspec.json.Decoder(Answer).decode
cards = msgspec.json.Decoder(Cards).decode
refusal = msgspec.json.Decoder(Refusal).decode
server_info = msgspec.json.Decoder(ServerInfo).decode
encode = msgspec.json.Encoder().encode
