"""Tool calls that come in pieces."""

import json

from hypothesis import given
from hypothesis import strategies as st

from engine.http.tool_calls import CallTracker
from engine.http.wire import CallPiece, Choice, Function, Message
from engine.types import ToolCall

values = st.recursive(
    st.none() | st.text('{}"\\ab', max_size=4),
    lambda v: st.lists(v) | st.dictionaries(st.text("{}", max_size=2), v),
)


def piece(index: int, arguments: str, name: str | None = None) -> Choice:
    call = CallPiece(index, f"id-{index}" if name else None, Function(name, arguments))
    return Choice(0, delta=Message(tool_calls=[call]))


END = Choice(0, delta=Message(), finish_reason="tool_calls")


@given(
    st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=3),
    st.integers(1, 5),
)
def test_every_call_is_told_once_and_whole_however_it_is_cut(
    calls: list[dict[str, object]], size: int
) -> None:
    tracker, told = CallTracker(), list[ToolCall]()
    for index, arguments in enumerate(calls):
        text = json.dumps(arguments)
        told += tracker.take(piece(index, "", "f"))[1]
        for at in range(0, len(text), size):
            told += tracker.take(piece(index, text[at : at + size]))[1]
    told += tracker.take(END)[1]
    assert [json.loads(call.arguments) for call in told] == calls
    assert [(call.index, call.id) for call in told] == [(i, f"id-{i}") for i in range(len(calls))]
    assert not tracker.is_open


def test_a_call_is_told_as_soon_as_its_arguments_close() -> None:
    tracker = CallTracker()
    assert not tracker.take(piece(0, '{"x": ', "f"))[1]
    assert not tracker.take(piece(0, '{"y": 1}'))[1]
    (call,) = tracker.take(piece(0, "}"))[1]
    assert call == ToolCall(0, 0, "id-0", "f", '{"x": {"y": 1}}')
    assert not tracker.take(piece(0, "\n"))[1]
    assert not tracker.take(END)[1]


def test_arguments_that_are_no_json_are_told_at_the_end() -> None:
    tracker = CallTracker()
    assert not tracker.take(piece(0, "{oops}", "f"))[1]
    (call,) = tracker.take(END)[1]
    assert call.arguments == "{oops}"


def test_id_and_name_are_passed_on_once_although_a_server_repeats_them() -> None:
    tracker = CallTracker()
    deltas = [delta for _ in range(2) for delta in tracker.take(piece(0, "{", "f"))[0]]
    assert [(delta.id, delta.name) for delta in deltas] == [("id-0", "f"), (None, None)]
