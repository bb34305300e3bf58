"""What a model is shown of a request: its tools by the template or as text, its past as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

from engine.errors import BadCall
from engine.types import TOOLS_IN_PROMPT, Call
from engine.vllm import tool_prompt
from engine.vllm.continuity import Continuity, Thread
from engine.vllm.rendering import Rendering


@dataclass(frozen=True, slots=True)
class Opened:
    """A request's prompt where it is not vLLM's plain rendering, and the thread it belongs to."""

    prompt: list[int] | None
    thread: Thread | None


class Prompts:
    """The prompts of one engine."""

    def __init__(
        self,
        rendering: Rendering,
        continuity: Continuity,
        *,
        tool_parser: str | None,
        tools_in_prompt: bool,
    ) -> None:
        self._rendering = rendering
        self._continuity = continuity
        self._tool_parser = tool_parser
        self._always = tools_in_prompt

    def split(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The request without our own field, and as the model is to see it if that is another.

        Raises BadCall.
        """
        plain = {name: value for name, value in body.items() if name != TOOLS_IN_PROMPT}
        asked = body.get(TOOLS_IN_PROMPT)
        if not isinstance(asked, bool | None):
            raise BadCall(f"'{TOOLS_IN_PROMPT}' must be true or false", TOOLS_IN_PROMPT)
        if asked and self._tool_parser != tool_prompt.PARSER:
            remedy = f"it needs an engine with `tool_parser: {tool_prompt.PARSER}`"
            raise BadCall(f"'{TOOLS_IN_PROMPT}' is not served here: {remedy}", TOOLS_IN_PROMPT)
        in_prompt = self._always if asked is None else asked
        told = tool_prompt.told(plain) if in_prompt and tool_prompt.concerns(plain) else None
        return plain, told

    async def open(self, shown: ChatCompletionRequest, call: Call, *, own: bool) -> Opened:
        """The prompt; `own` says that vLLM, given the request itself, would render another."""
        thread = await self._continuity.open(shown, call)
        prompt = thread.prompt if thread is not None else None
        if prompt is None and own:
            prompt = await self._rendering.whole(shown)
        return Opened(prompt, thread)

    def newest(self, session: str) -> list[int] | None:
        """All tokens of a session's last turn; None if they are not known."""
        return self._continuity.newest(session)
