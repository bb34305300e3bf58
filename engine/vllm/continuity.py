"""Prompt continuity: the next turn's prompt begins with the tokens of the turn before.

A chat template writes a turn anew from what the client sends back: other spaces in the arguments,
no reasoning, other line ends. One token that differs, and all behind it is computed again. So the
tokens that the model really read and wrote stay here, and only what is new is tokenized: the
conversation is rendered as text, which is cheap, and cut behind the last message that is known.
Where the cut is not beyond doubt, the prompt is the plain rendering.
"""

from array import array
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

from engine.types import Call
from engine.vllm import conversation
from engine.vllm.choice import Said
from engine.vllm.rendering import Known, Rendering
from engine.vllm.turn_memory import Turn, TurnMemory

# With one of these a prompt is more, or less, than its conversation.
_UNSUITABLE = (
    "use_beam_search",
    "echo",
    "continue_final_message",
    "truncate_prompt_tokens",
    "kv_transfer_params",
)


@dataclass(slots=True)
class Thread:
    """One request of a session while its answer grows; `close` remembers the turn."""

    memory: TurnMemory
    session: str
    mark: bytes
    before: Turn | None = None
    prompt: list[int] | None = None
    """What to send instead of the plain rendering."""
    shared: int = 0
    """How many tokens of the prompt are those of the turn before."""

    def close(self, said: Said) -> None:
        """Remember the turn."""
        *written, end = said.written
        own = array("I", said.read[self.shared :])
        own.extend(written)
        mark = conversation.extended(self.mark, said.content, said.calls)
        self.memory.keep(self.session, mark, Turn(self.before, own, end))


class Continuity:
    """Prompts that go on from the session's last turn."""

    def __init__(self, rendering: Rendering, limit: int, registry: CollectorRegistry) -> None:
        """`limit` bounds the memory, in bytes."""
        self._rendering = rendering
        self._memory = TurnMemory(limit)
        self._prompts = Counter(
            "roundhouse_prompts",
            "Prompts by how they continue the session's last turn: continued (its tokens, and "
            "what is new), first (nothing to go on from), changed (the client's history is not "
            "what was said), template (the chat template did not allow it), unsuitable.",
            ["engine", "continuity"],
            registry=registry,
        )

    async def open(self, request: ChatCompletionRequest, call: Call) -> Thread | None:
        """The thread of a request, with its prompt where it goes on; None if nothing is kept."""
        marks = None
        if call.session and _is_suitable(request):
            marks = conversation.marks(call.body)
        if marks is None or call.session is None:
            self._count("unsuitable")
            return None
        thread = Thread(self._memory, call.session, marks[-1])
        found = self._memory.find(call.session, marks)
        if found is None:
            self._count("changed" if _has_answer(call.body["messages"]) else "first")
            return thread
        messages, turn = found
        rest = await self._rendering.after(request, Known(messages, turn.end))
        if rest is None:
            self._count("template")
            return thread
        known = turn.tokens()
        thread.before, thread.shared, thread.prompt = turn, len(known), known + rest
        self._count("continued")
        return thread

    def newest(self, session: str) -> list[int] | None:
        """All tokens of a session's last turn; None if they are not known."""
        turn = self._memory.newest(session)
        return turn.tokens() if turn is not None else None

    def _count(self, continuity: str) -> None:
        self._prompts.labels("0", continuity).inc()  # the collector puts the engine's name there


def _is_suitable(request: ChatCompletionRequest) -> bool:
    if (request.n or 1) != 1 or not request.add_generation_prompt:
        return False
    return not any(getattr(request, name) for name in _UNSUITABLE)


def _has_answer(messages: Any) -> bool:
    return any(message.get("role") == "assistant" for message in messages)
