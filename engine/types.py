"""What crosses the seam between the gateway and an engine: calls, events, load.

Events are msgspec structs because several are made for every generated token. One generation
gives, in this order: one `Started`, any number of `Delta` and `ToolCall`, one `ChoiceDone` for
each choice, one `Finished`. An engine that can't finish raises an `EngineError` instead; there is
no third way to end.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from engine.passed import Passed as Passed

Pool: TypeAlias = Literal["latency", "throughput"]
Endpoint: TypeAlias = Literal["chat", "completion"]
FinishReason: TypeAlias = Literal[
    "stop", "length", "tool_calls", "content_filter", "abort", "repetition"
]

TOOLS_IN_PROMPT = "tools_in_prompt"
"""The one field of a request that is the engines' own: tell the tools in the prompt."""


class Call(msgspec.Struct, frozen=True):
    """One request for generation.

    `body` is the OpenAI request as decoded JSON; the engine checks it with its own request model,
    so that a field the engine learns is a field the API has. With `stream` false every choice
    comes in one `Delta`. With `verbatim` the caller takes the answer as a server wrote it: an
    engine that has it so gives `Passed` instead of `Started`, `Delta` and `ChoiceDone`.
    """

    id: str
    endpoint: Endpoint
    body: Mapping[str, object]
    stream: bool
    session: str | None = None
    """Its name at the engine: no other tenant's session has the same, and no client is told it."""
    verbatim: bool = False
    include_usage: bool = False
    """Whether a verbatim stream tells the usage at its end."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one generation; `cached_tokens` of the prompt came from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int | None = None
    knows_cached: bool = True
    """False where the engine doesn't tell what it found in its cache."""


class Started(msgspec.Struct, frozen=True):
    """The engine has taken the request and produced its first output."""

    prompt_tokens: int
    cached_tokens: int = 0
    extra: dict[str, object] | None = None
    """Fields of the first chunk or of the whole answer that only some requests ask for."""


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of a tool call; `id` and `name` come once, with its first piece."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class Delta(msgspec.Struct, frozen=True):
    """What one step added to one choice."""

    index: int
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    tokens: int = 0
    """Tokens of this choice so far."""
    logprobs: object = None
    """OpenAI's `logprobs` object of the new tokens, when asked for."""
    token_ids: list[int] | None = None
    extra: dict[str, object] | None = None
    """Fields of the choice that only some requests ask for."""


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """A tool call whose arguments are complete, announced while the turn may still go on.

    Its pieces have come before, in `Delta`s.
    """

    choice: int
    index: int
    id: str
    name: str
    arguments: str


class ChoiceDone(msgspec.Struct, frozen=True, gc=False):
    """One choice has ended; `stop_reason` is the stop string or token id that ended it."""

    index: int
    reason: FinishReason
    stop_reason: int | str | None = None


class Finished(msgspec.Struct, frozen=True):
    """The one last event; after `Passed` it adds nothing to what the client was told."""

    usage: Usage
    extra: dict[str, object] | None = None


Event: TypeAlias = Started | Delta | ToolCall | ChoiceDone | Passed | Finished


class EngineLoad(msgspec.Struct, frozen=True):
    """What an engine does now, and what it has done since it started.

    `kv_used_ratio` counts blocks of running requests only: cached blocks nobody uses are free.
    """

    running: int = 0
    waiting: int = 0
    kv_used_ratio: float = 0.0
    preemptions: int = 0
    kv_tokens: int = 0
    """Tokens that the KV cache holds; 0 where that is not known."""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    is_asleep: bool = False
    """Whether it has given up its memory, and generates nothing until it is woken."""
