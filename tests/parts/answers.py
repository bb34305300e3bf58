"""Answers as engines and tool loops may give them, and what a client makes of the chunks."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from engine.types import (
    ChoiceDone,
    Delta,
    Finished,
    FinishReason,
    Started,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gateway.events import (
    LoopReport,
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    ToolOutcome,
    ToolStarted,
    TurnEvent,
)

REASONS: tuple[FinishReason, ...] = ("stop", "length", "tool_calls")


OUTCOME = ToolOutcome("found", False, "ok", (0.5, 1.5), 0.1, 1.0, 1.2, 5)


def accumulate(chunks: Sequence[ChatCompletionChunk]) -> dict[int, dict[str, Any]]:
    """What a client makes of the chunks, for each choice."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            sums = choices.setdefault(
                choice.index,
                {"text": "", "reasoning": "", "calls": {}, "logprobs": [], "ids": [], "end": []},
            )
            delta = choice.delta
            sums["text"] += delta.content or ""
            sums["reasoning"] += getattr(delta, "reasoning_content", None) or ""
            sums["ids"] += getattr(choice, "token_ids", None) or []
            if choice.logprobs is not None:
                sums["logprobs"] += choice.logprobs.content or []
            for piece in delta.tool_calls or ():
                call = sums["calls"].setdefault(piece.index, ["", "", ""])
                assert piece.function is not None
                news = (piece.id, piece.function.name, piece.function.arguments)
                for at, new in enumerate(news):
                    call[at] += new or ""
            if choice.finish_reason is not None:
                sums["end"].append((choice.finish_reason, getattr(choice, "stop_reason", None)))
    return choices


def as_accumulated(body: ChatCompletion) -> dict[int, dict[str, Any]]:
    """The same of a whole answer."""
    return {
        choice.index: {
            "text": choice.message.content or "",
            "reasoning": getattr(choice.message, "reasoning_content", None) or "",
            "calls": {
                at: [call.id, call.function.name, call.function.arguments]
                for at, call in enumerate(choice.message.tool_calls or ())
                if call.type == "function"
            },
            "logprobs": (choice.logprobs.content or []) if choice.logprobs is not None else [],
            "ids": getattr(choice, "token_ids", None) or [],
            "end": [(choice.finish_reason, getattr(choice, "stop_reason", None))],
        }
        for choice in body.choices
    }


texts = st.text(max_size=8)


logprobs = st.lists(
    st.builds(
        lambda token, value: {"token": token, "logprob": value, "bytes": None, "top_logprobs": []},
        texts,
        st.floats(-9, 0),
    ),
    min_size=1,
    max_size=2,
).map(lambda content: {"content": content})


extensions: st.SearchStrategy[TurnEvent] = st.sampled_from(
    [
        ServerCall("c", "search", "{}"),
        ServerCallStarted("c", "search", ToolStarted((0.5, 1.5), 0.1)),
        ServerCallDone("c", "search", "{}", OUTCOME),
        ToolCall(0, 0, "c", "mine", "{}"),
    ]
)


marks = st.tuples(st.none() | logprobs, st.none() | st.lists(st.integers(0, 9), max_size=3))


@st.composite
def choice_events(draw: st.DrawFn, index: int) -> list[TurnEvent]:
    """One choice: text, reasoning, and tool calls whose pieces come in order."""
    pieces = [
        ToolCallDelta(call, f"id-{call}" if first else None, "mine" if first else None, text)
        for call in range(draw(st.integers(0, 2)))
        for first, text in [(True, ""), *((False, t) for t in draw(st.lists(texts, max_size=3)))]
    ]
    deltas = [
        Delta(index, draw(texts), draw(texts), (piece,) if piece else (), count + 1, *draw(marks))
        for count, piece in enumerate([*pieces, *draw(st.lists(st.none(), max_size=3))])
    ]
    reason = draw(st.sampled_from(REASONS))
    return [*deltas, ChoiceDone(index, reason, draw(st.none() | st.just(7) | st.just("END")))]


@st.composite
def answers(draw: st.DrawFn, n: int) -> list[TurnEvent]:
    """A whole answer with its choices interleaved."""
    queues = [draw(choice_events(index)) for index in range(n)]
    events: list[TurnEvent] = [Started(5, 2)]
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        events.append(queue.pop(0))
        events += draw(st.lists(extensions, max_size=1))
    if draw(st.booleans()):
        events.append(LoopReport(2, 1, None))
    return [*events, Finished(Usage(5, 9, 2, draw(st.none() | st.just(3))))]


@st.composite
def completions(draw: st.DrawFn, n: int) -> list[TurnEvent]:
    """A text completion of one delta a choice, as it comes when it is not streamed."""
    events: list[TurnEvent] = [Started(5)]
    for index in draw(st.permutations(range(n))):
        done = ChoiceDone(index, "stop", draw(st.none() | st.just("END")))
        extra: dict[str, object] | None = {"prompt_logprobs": []} if draw(st.booleans()) else None
        ids = draw(st.none() | st.just([3]))
        events += [Delta(index, draw(texts), tokens=1, token_ids=ids, extra=extra), done]
    return [*events, Finished(Usage(5, n), {"system_fingerprint": "f"})]
