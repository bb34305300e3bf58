"""When a streamed tool call is complete."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from vllm.entrypoints.generate.base.protocol import DeltaFunctionCall, DeltaToolCall

from engine.types import ToolCall
from engine.vllm.tool_calls import ObjectScanner, ToolCallTracker

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), json_values, max_size=4)


def piece(index: int, arguments: str, name: str | None = None) -> DeltaToolCall:
    call_id = f"call-{index}" if name else None
    function = DeltaFunctionCall(name=name, arguments=arguments)
    return DeltaToolCall(index=index, id=call_id, function=function)


@given(objects, st.data())
def test_an_object_is_closed_with_its_last_brace_and_not_before(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(text) - 1))
    scanner = ObjectScanner()
    scanner.feed(text[:cut])
    assert not scanner.closed
    scanner.feed(text[cut:])
    assert scanner.closed


@given(st.lists(objects, min_size=1, max_size=3), st.data())
def test_every_call_is_announced_once_whole_and_in_order(
    calls: list[dict[str, Any]], data: st.DataObject
) -> None:
    tracker = ToolCallTracker(0, parallel=True)
    announced: list[ToolCall] = []
    for index, arguments in enumerate(calls):
        text = json.dumps(arguments)
        cut = data.draw(st.integers(0, len(text)))
        tracker.take([piece(index, "", name=f"tool{index}")])
        tracker.take([piece(index, text[:cut])])
        announced += tracker.complete()
        tracker.take([piece(index, text[cut:])])
        announced += tracker.complete()
        assert len(announced) == index + 1
    announced += tracker.complete(ended=True)
    assert [call.name for call in announced] == [f"tool{i}" for i in range(len(calls))]
    assert [json.loads(call.arguments) for call in announced] == calls


def test_arguments_that_never_close_are_announced_when_the_choice_ends() -> None:
    tracker = ToolCallTracker(0, parallel=True)
    tracker.take([piece(0, '{"city": "Par', name="get_weather")])
    assert not list(tracker.complete())
    (call,) = tracker.complete(ended=True)
    assert call.arguments == '{"city": "Par'


def test_without_parallel_calls_only_the_first_counts() -> None:
    tracker = ToolCallTracker(0, parallel=False)
    assert tracker.take([piece(0, "{}", name="a"), piece(1, "{}", name="b")])[0].name == "a"
    assert [call.name for call in tracker.complete(ended=True)] == ["a"]
