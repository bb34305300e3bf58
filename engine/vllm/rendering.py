"""What of a conversation comes after the messages that are known already, as tokens."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jinja2
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMClientError
from vllm.renderers import TokenizeParams
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.utils.mistral import is_mistral_tokenizer

Items: TypeAlias = str | list[int]

# gpt-oss ends messages in three ways, and history shows another end than the model wrote.
_HARMONY_ENDS = frozenset({200002, 200007, 200012})  # <|return|>, <|end|>, <|call|>
_SAME = 200  # characters before the cut that must agree, or the whole message if it is shorter
_SAME_TOKENS = 4  # the same where the rendering is tokens
_MOVED = 64  # characters: shorter than any tool, longer than what templates write around messages
_MOVED_TOKENS = 16
_SAME_CALL = 16  # the same for a message that is all tool calls: how they are written varies
_CANNOT = (jinja2.TemplateError, VLLMClientError, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class Known:
    """The messages a turn has read and written, and the token that ended it."""

    messages: int
    end: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as text or tokens, and the places in it where messages end."""

    items: Items
    ends: Sequence[int]


class Rendering:
    """vLLM's rendering, cut where the known messages end."""

    def __init__(self, renderer: OnlineRenderer) -> None:
        self._renderer = renderer
        tokenizer = renderer.renderer.tokenizer
        self._as_tokens = is_mistral_tokenizer(tokenizer)
        self._special: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})

    async def after(self, request: ChatCompletionRequest, known: Known) -> list[int] | None:
        """The tokens from the end of the last known message on, that end included.

        None where the template does not let it be told: it rejects a conversation that stops
        there, writes the known messages so differently that the place is in doubt, or moves the
        tools or the system message on to what is new, where they would be read once more.
        """
        messages, end = request.messages, known.end
        try:
            whole = self._ended(await self._render(request, messages, ask=True), end)
            known_messages = messages[: known.messages]
            start = self._ended(await self._render(request, known_messages, ask=False), end)
        except _CANNOT:
            return None
        at = cut(whole, start, _visible(known_messages[-1]))
        if at is None or repeats(whole.items, start.items, at, start.ends[-1]):
            return None
        rest = whole.items[at:]
        # A special token always stands by itself, so what follows it may be tokenized alone.
        return rest if isinstance(rest, list) else await self._tokens(rest)

    async def whole(self, request: ChatCompletionRequest) -> list[int]:
        """The tokens of the whole conversation, as vLLM would render them."""
        items = await self._render(request, request.messages, ask=True)
        return items if isinstance(items, list) else await self._tokens(items)

    async def _tokens(self, text: str) -> list[int]:
        params = TokenizeParams(max_total_tokens=None, add_special_tokens=False)
        tokens = await self._renderer.renderer.tokenize_prompt_async({"prompt": text}, params)
        return list(tokens["prompt_token_ids"])

    def _ended(self, items: Items, end: int) -> Rendered:
        if isinstance(items, str):
            special = self._special.get(end)
            return Rendered(items, () if special is None else _places(items, str(special)))
        ends = _HARMONY_ENDS if self._renderer.use_harmony else {end}
        return Rendered(items, [i for i, token in enumerate(items) if token in ends])

    async def _render(
        self, request: ChatCompletionRequest, messages: Sequence[Any], *, ask: bool
    ) -> Items:
        """The conversation as text, or as tokens where vLLM renders those."""
        renderer = self._renderer
        part = request.model_copy(
            update={"messages": list(messages), "add_generation_prompt": ask},
        )
        if renderer.use_harmony:
            _, (prompt,) = renderer._make_request_with_harmony(part, bool(request.tools))
            return list(prompt["prompt_token_ids"])
        tools = [tool.model_dump() for tool in request.tools] if request.tools else None
        params = part.build_chat_params(
            renderer.chat_template, renderer.chat_template_content_format
        ).with_defaults(
            {**renderer.default_chat_template_kwargs, "tools": tools, "tokenize": self._as_tokens}
        )
        _, prompt = await renderer.renderer.render_messages_async(part.messages, params)
        items: Items = prompt["prompt_token_ids"] if self._as_tokens else prompt["prompt"]
        return items


def cut(whole: Rendered, start: Rendered, visible: int) -> int | None:
    """Where the known messages end in the whole conversation, if that is beyond doubt.

    `start` is the rendering of the known messages alone. They end with as many ends of messages in
    both; the `visible` characters before the last of them are the same, and so is what follows it.
    """
    count = len(start.ends)
    if not count or len(whole.ends) < count:
        return None
    there, here = whole.ends[count - 1], start.ends[-1]
    if isinstance(start.items, list):
        visible = min(visible, _SAME_TOKENS)
    elif whole.items[there : there + len(start.items) - here] != start.items[here:]:
        return None
    same = (
        whole.items[max(there - visible, 0) : there] == start.items[max(here - visible, 0) : here]
    )
    return there if same else None


def repeats(whole: Items, start: Items, there: int, here: int) -> bool:
    """Whether what stands in `start` before `here`, and in `whole` not before `there`, stands in
    `whole` behind it."""
    moved = here - there
    if moved < (_MOVED if isinstance(whole, str) else _MOVED_TOKENS):
        return False
    same = next((at for at in range(there) if whole[at] != start[at]), there)
    part, rest = start[same : same + moved], whole[there:]
    if isinstance(part, str) and isinstance(rest, str):
        return part in rest
    return array("I", part).tobytes() in array("I", rest).tobytes()


def _places(text: str, end: str) -> list[int]:
    found = []
    at = text.find(end)
    while at >= 0:
        found.append(at)
        at = text.find(end, at + len(end))
    return found


def _visible(message: Any) -> int:
    """How much of the last known message must stand before the cut."""
    content = message.get("content")
    if message.get("tool_calls"):
        return _SAME_CALL
    return min(len(content.strip()), _SAME) if isinstance(content, str) else 0
