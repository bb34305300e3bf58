"""Events as chunks and events as one body say the same."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from engine.types import (
    ChoiceDone,
    Delta,
    Finished,
    Started,
    ToolCallDelta,
    Usage,
)
from gateway.collecting import ChatBody, CompletionBody
from gateway.errors import BadRequest
from gateway.events import (
    LoopReport,
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    ToolStarted,
    TurnEvent,
)
from gateway.streaming import DONE, ChatChunks, CompletionChunks, error_chunk
from gateway.wire import ApiRequest, parse
from tests.parts.answers import (
    OUTCOME,
    accumulate,
    answers,
    as_accumulated,
    completions,
)


def request(endpoint: str = "chat", **fields: object) -> ApiRequest:
    raw = json.dumps({"messages": [], "stream": True, **fields}).encode()
    return parse(raw, "chat" if endpoint == "chat" else "completion", "house")


def stream(asked: ApiRequest, events: Sequence[TurnEvent]) -> list[dict[str, Any]]:
    """The chunks of a whole answer as JSON."""
    kind = ChatChunks if asked.endpoint == "chat" else CompletionChunks
    chunks = kind(asked, "id-1", "m", 7)
    data = b"".join(chunks.chunk(event) for event in events)
    assert data.endswith(DONE)
    lines = data.removesuffix(DONE).split(b"\n\n")
    assert lines.pop() == b""
    return [msgspec.json.decode(line.removeprefix(b"data: ")) for line in lines]


def whole(asked: ApiRequest, events: Sequence[TurnEvent]) -> dict[str, Any]:
    kind = ChatBody if asked.endpoint == "chat" else CompletionBody
    body = kind(asked, "id-1", "m", 7)
    for event in events:
        body.add(event)
    decoded = msgspec.json.decode(msgspec.json.encode(body.body()))
    assert isinstance(decoded, dict)
    return decoded


@settings(max_examples=60)
@given(st.data(), st.integers(1, 3), st.booleans())
def test_chunks_added_up_are_the_whole_answer(
    data: st.DataObject, n: int, usage_on_every_chunk: bool
) -> None:
    options = {"include_usage": True, "continuous_usage_stats": usage_on_every_chunk}
    asked = request(n=n, stream_options=options)
    events = data.draw(answers(n))
    chunks = [ChatCompletionChunk.model_validate(chunk) for chunk in stream(asked, events)]
    body = ChatCompletion.model_validate(whole(asked, events))
    assert accumulate(chunks) == as_accumulated(body)
    assert chunks[-1].usage == body.usage
    assert all((chunk.usage is not None) is usage_on_every_chunk for chunk in chunks[:-1])
    assert {(chunk.id, chunk.model, chunk.created) for chunk in chunks} == {("id-1", "m", 7)}


def deltas(*pieces: Delta) -> list[TurnEvent]:
    return [Started(5), *pieces, ChoiceDone(0, "stop"), Finished(Usage(5, len(pieces)))]


@given(st.text(min_size=1))
def test_the_hot_path_writes_what_the_generic_path_writes(text: str) -> None:
    hot = stream(request(), deltas(Delta(0, text, tokens=1)))
    # Ids of tokens, here none, send a piece the other way.
    generic = stream(request(), deltas(Delta(0, text, tokens=1, token_ids=[])))
    assert generic[1]["choices"][0].pop("token_ids") == []
    assert hot == generic


def test_usage_is_told_only_when_asked_for() -> None:
    assert all("usage" not in chunk for chunk in stream(request(), deltas(Delta(0, "a"))))


def test_usage_on_every_chunk_counts_all_choices_as_they_grow() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = deltas(Delta(0, "a", tokens=1), Delta(1, "b", tokens=2), Delta(0, "c", tokens=3))
    chunks = stream(request(n=2, stream_options=options), events)
    told = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert told == [0, 0, 1, 3, 5, 5, 3]
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {5}


def test_every_choice_begins_with_its_role() -> None:
    first, second, *rest = stream(request(n=2), deltas())
    for index, chunk in enumerate((first, second)):
        (choice,) = chunk["choices"]
        assert (choice["index"], choice["delta"]["role"]) == (index, "assistant")
    assert all("role" not in choice["delta"] for chunk in rest for choice in chunk["choices"])


def test_what_the_request_says_of_itself_comes_with_the_first_chunk_and_the_whole() -> None:
    asked = request(metadata={"k": "v"}, service_tier="auto")
    first, *rest = stream(asked, deltas())
    body = whole(asked, deltas())
    for answer in (first, body):
        assert (answer["metadata"], answer["service_tier"]) == ({"k": "v"}, "default")
    assert all("metadata" not in chunk for chunk in rest)


def test_fields_the_engine_adds_reach_the_client() -> None:
    events: list[TurnEvent] = [
        Started(5, extra={"prompt_token_ids": [1]}),
        Delta(0, "a", token_ids=[2]),
        ChoiceDone(0, "stop", "END"),
        Finished(Usage(5, 1), {"system_fingerprint": "f"}),
    ]
    chunks = stream(request(stream_options={"include_usage": True}), events)
    assert chunks[0]["prompt_token_ids"] == [1]
    assert chunks[1]["choices"][0]["token_ids"] == [2]
    assert chunks[2]["choices"][0]["stop_reason"] == "END"
    assert chunks[3]["system_fingerprint"] == "f"
    body = whole(request(), events)
    assert (body["prompt_token_ids"], body["system_fingerprint"]) == ([1], "f")
    assert (body["choices"][0]["token_ids"], body["choices"][0]["stop_reason"]) == ([2], "END")


def test_tool_events_come_beside_an_empty_delta() -> None:
    events: list[TurnEvent] = [
        Started(5),
        ServerCall("c", "search", "{}"),
        ServerCallStarted("c", "search", ToolStarted((0.5, 1.5), 0.1)),
        ServerCallDone("c", "search", "{}", OUTCOME),
        ChoiceDone(0, "stop"),
        LoopReport(2, 1, "calls"),
        Finished(Usage(5, 1)),
    ]
    chunks = stream(request(), events)
    told = [chunk["roundhouse"] for chunk in chunks if "roundhouse" in chunk]
    assert [event["event"] for event in told] == [
        "tool_call",
        "tool_started",
        "tool_finished",
        "report",
    ]
    assert (told[1]["expected_s"], told[2]["outcome"]) == ([0.5, 1.5], "ok")
    assert all(chunk["choices"][0]["delta"] == {} for chunk in chunks if "roundhouse" in chunk)
    report = whole(request(), events)["roundhouse"]
    assert (report["turns"], report["tool_call_count"], report["stopped_by"]) == (2, 1, "calls")
    assert [(call["name"], call["arguments"]) for call in report["tool_calls"]] == [
        ("search", "{}")
    ]


def test_beside_tool_calls_no_text_is_null() -> None:
    piece = ToolCallDelta(0, "c", "mine", "{}")
    message = whole(request(), deltas(Delta(0, tool_calls=(piece,))))["choices"][0]["message"]
    assert message["content"] is None
    assert whole(request(), deltas(Delta(0)))["choices"][0]["message"]["content"] == ""


@settings(max_examples=30)
@given(st.data(), st.integers(1, 3))
def test_chunks_of_a_text_completion_added_up_are_the_whole(data: st.DataObject, n: int) -> None:
    asked = request("completion", stream_options={"include_usage": True})
    events = data.draw(completions(n))
    body = whole(asked, events)
    Completion.model_validate(body)
    *chunks, last = stream(asked, events)
    assert (last["usage"], last["system_fingerprint"]) == (body["usage"], "f")
    for choice in body["choices"]:
        first, second = (
            piece
            for chunk in chunks
            for piece in chunk["choices"]
            if piece["index"] == choice["index"]
        )
        assert first | {k: second[k] for k in ("finish_reason", "stop_reason")} == choice


def test_usage_on_every_chunk_of_a_text_completion_knows_the_prompt() -> None:
    """It said 0 tokens of prompt on every chunk."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = deltas(Delta(0, "a", tokens=1))
    chunks = stream(request("completion", stream_options=options), events)
    assert [chunk["usage"]["prompt_tokens"] for chunk in chunks] == [5, 5, 5]


def test_a_broken_stream_ends_with_openais_error_object() -> None:
    data = error_chunk(BadRequest("no", param="model"))
    assert msgspec.json.decode(data.removeprefix(b"data: ")) == {
        "error": {
            "message": "no",
            "type": "invalid_request_error",
            "param": "model",
            "code": "invalid_value",
        }
    }


@pytest.mark.parametrize("endpoint", ["chat", "completion"])
def test_a_stream_ends_with_the_word_done(endpoint: str) -> None:
    assert stream(request(endpoint), deltas(Delta(0, "a")))
