"""Turns that call the tools of the client, and perhaps ours too."""

from engine.types import Delta, ToolCall
from gateway.events import (
    LoopReport,
)
from tests.parts.loop import (
    ANSWER,
    ONE_CALL,
    OWN,
    SERVER,
    USER,
    bench,
    only,
    reason,
    report,
    result,
    said,
)
from tests.parts.scripts import call, text, turn
from tests.parts.tools import ScriptedTool


async def test_the_clients_own_tools_are_its_own() -> None:
    own = turn(text("t"), call("mine", '{"a": 1}'), reason="tool_calls")
    async with bench(own) as it:
        events = await it.run(tools=[OWN, SERVER])
    assert [tool["function"]["name"] for tool in it.asked(0)["tools"]] == ["mine", "search"]
    assert only(events, ToolCall) == [ToolCall(0, 0, "call-mine-0", "mine", '{"a": 1}')]
    assert (reason(events), len(it.engine.calls)) == ("tool_calls", 1)
    assert report(events) == LoopReport(1, 0, None)


async def test_a_mixed_turn_keeps_our_result_until_the_client_comes_back() -> None:
    tool = ScriptedTool(text="ours")
    mixed = turn(
        call("search", index=0),
        call("mine", index=1),
        call("search", index=2),
        reason="tool_calls",
    )
    async with bench(mixed, ANSWER, tools=[tool]) as it:
        events = await it.run(tools=[OWN, SERVER])
        # The client's call is its first: indexes of ours are left out.
        assert [event.index for event in only(events, ToolCall)] == [0]
        shown = [piece.index for d in only(events, Delta) for piece in d.tool_calls]
        assert shown == [0, 0, 0]
        told = {"role": "assistant", "tool_calls": [{"id": "call-mine-1", "type": "function"}]}
        again = await it.run(
            messages=[USER, told, result("call-mine-1", "theirs")], tools=[OWN, SERVER]
        )
    assert said(again) == "it is so"
    assert len(tool.calls) == 2, "nothing runs twice"
    _, message, *results = it.asked(1)["messages"]
    ids = ["call-search-0", "call-mine-1", "call-search-2"]
    assert [c["id"] for c in message["tool_calls"]] == ids
    assert results == [result(ids[0], "ours"), result(ids[1], "theirs"), result(ids[2], "ours")]
    assert it.metric("tool_results_restored_total") == 2


async def test_turns_the_client_never_saw_come_back_before_its_own_call() -> None:
    """They were lost where the last turn called nothing but the client's tools."""
    own = turn(call("mine"), reason="tool_calls")
    async with bench(ONE_CALL, own, ANSWER) as it:
        await it.run(tools=[OWN, SERVER])
        told = {"role": "assistant", "tool_calls": [{"id": "call-mine-0", "type": "function"}]}
        await it.run(messages=[USER, told, result("call-mine-0", "theirs")], tools=[OWN, SERVER])
    messages = it.asked(2)["messages"]
    assert [message["role"] for message in messages] == ["user", *["assistant", "tool"] * 2]
    assert (messages[2], messages[4]) == (result("call-search-0"), result("call-mine-0", "theirs"))


async def test_a_conversation_comes_back_whole_without_server_tools_too() -> None:
    mixed = turn(call("search"), call("mine", index=1), reason="tool_calls")
    async with bench(mixed, ANSWER) as it:
        await it.run(tools=[OWN, SERVER])
        told = {"role": "assistant", "tool_calls": [{"id": "call-mine-1", "type": "function"}]}
        await it.run(messages=[USER, told, result("call-mine-1")], tools=[OWN])
    roles = [message["role"] for message in it.asked(1)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
