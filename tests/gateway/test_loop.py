"""One request with server-side tools: the model calls, the tools run, the model goes on."""

import asyncio
from contextlib import aclosing

import pytest

from engine.types import ChoiceDone, Delta, Finished, ToolCall, Usage
from gateway.events import (
    LoopReport,
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    TurnEvent,
)
from gateway.sessions import Phase
from tests.parts.loop import (
    ANSWER,
    ONE_CALL,
    USER,
    bench,
    only,
    reason,
    report,
    result,
    said,
)
from tests.parts.scripts import USAGE, call, text, turn
from tests.parts.tools import ScriptedTool


async def test_a_tool_runs_and_the_model_goes_on_with_its_result() -> None:
    tool = ScriptedTool(text="42")
    async with bench(ONE_CALL, ANSWER, tools=[tool]) as it:
        events = await it.run()
    assert said(events) == "look: it is so"
    assert reason(events) == "stop"
    assert [type(event) for event in events[-3:]] == [ChoiceDone, LoopReport, Finished]
    assert report(events) == LoopReport(2, 1, None)
    assert tool.calls[0]["arguments"] == {"q": "x"}
    offer = it.asked(0)["tools"][0]["function"]
    assert (offer["name"], offer["description"]) == ("search", "Scripted search.")
    question, message, answer = it.asked(1)["messages"]
    assert (question, answer) == (USER, result("call-search-0", "42"))
    assert message["content"] == "look: "
    assert message["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"q": "x"}'}


@pytest.mark.parametrize(("run_s", "counted"), [(1.0, 1), (0.0, 0)])
async def test_only_a_call_that_ran_says_whether_it_ran_as_expected(
    run_s: float, counted: int
) -> None:
    """A result that the service had kept counted as one that came in no time at all."""
    async with bench(ONE_CALL, ANSWER, tools=[ScriptedTool(run_s=run_s)]) as it:
        await it.run()
        for name in ("expected_seconds", "actual_to_expected_ratio"):
            assert it.metric(f"tool_call_{name}_count", tool="search") == counted


async def test_the_client_sees_the_tools_events_but_no_call_of_its_own() -> None:
    async with bench(ONE_CALL, ANSWER) as it:
        events = await it.run()
    assert not only(events, ToolCall)
    assert not any(delta.tool_calls for delta in only(events, Delta))
    assert only(events, ServerCall) == [ServerCall("call-search-0", "search", '{"q": "x"}')]
    (started,) = only(events, ServerCallStarted)
    assert started.started.expected_s == (0.5, 1.5)
    (done,) = only(events, ServerCallDone)
    assert (done.outcome.text, done.outcome.outcome) == ("found", "ok")


async def test_usage_is_summed_over_the_turns() -> None:
    second = turn(text("so"), usage=Usage(10, 5, 7, 2))
    async with bench(ONE_CALL, second) as it:
        events = await it.run()
    assert events[-1] == Finished(
        Usage(USAGE.prompt_tokens + 10, USAGE.completion_tokens + 5, 8, 2)
    )


async def test_a_call_starts_the_moment_its_arguments_are_complete() -> None:
    """The model does not write on until the first tool has been called, nor end before both."""
    first, second = ScriptedTool("one"), ScriptedTool("two")
    both = turn(
        call("one"),
        first.started,
        call("two", index=1),
        second.started,
        reason="tool_calls",
    )
    async with bench(both, ANSWER, tools=[first, second]) as it:
        events = await it.run()
    assert report(events).calls == 2
    assert it.asked(1)["messages"][2:] == [result("call-one-0"), result("call-two-1")]


async def test_calls_run_beside_each_other_and_results_keep_the_order_of_the_calls() -> None:
    slow = ScriptedTool("slow", gate=asyncio.Event())
    fast = ScriptedTool("fast")
    both = turn(call("slow"), call("fast", index=1), reason="tool_calls")
    async with bench(both, ANSWER, tools=[slow, fast]) as it:
        events: list[TurnEvent] = []
        async with asyncio.timeout(5), aclosing(await it.events()) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, ServerCallDone):
                    assert slow.gate is not None
                    slow.gate.set()
    assert [done.name for done in only(events, ServerCallDone)] == ["fast", "slow"]
    assert it.asked(1)["messages"][2:] == [result("call-slow-0"), result("call-fast-1")]


async def test_calls_of_one_turn_are_told_to_the_service_as_one_group() -> None:
    first, second = ScriptedTool("one"), ScriptedTool("two")
    both = turn(call("one"), call("two", index=1), reason="tool_calls")
    async with bench(both, ANSWER, tools=[first, second]) as it:
        await it.run()
    groups = [tool.calls[0]["_meta"]["roundhouse/group"] for tool in (first, second)]
    assert groups[0]["id"] == groups[1]["id"]
    assert [group["size"] for group in groups] == [1, 2]
    assert {group["session"] for group in groups} == {"s"}


async def test_the_phase_follows_what_the_agent_does() -> None:
    tool = ScriptedTool(gate=asyncio.Event())
    gate = asyncio.Event()
    async with bench(ONE_CALL, [gate, *ANSWER], tools=[tool]) as it:
        assert tool.gate is not None
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            running = group.create_task(it.run())
            await tool.started.wait()
            assert it.session.phase is Phase.IN_TOOL
            it.engine.asked.clear()
            tool.gate.set()
            await it.engine.asked.wait()
            assert str(it.session.phase) == "generating"
            gate.set()
        assert said(running.result()) == "look: it is so"


async def test_a_forced_call_is_forced_once() -> None:
    async with bench(ONE_CALL, ANSWER) as it:
        await it.run(tool_choice="required")
    assert [it.asked(index)["tool_choice"] for index in range(2)] == ["required", "auto"]


async def test_a_named_call_is_forced_once() -> None:
    named = {"type": "function", "function": {"name": "search"}}
    async with bench(ONE_CALL, ANSWER) as it:
        await it.run(tool_choice=named)
    assert [it.asked(index)["tool_choice"] for index in range(2)] == [named, "auto"]


async def test_every_tool_metric_moves() -> None:
    async with bench(ONE_CALL, ANSWER) as it:
        await it.run()
    assert it.metric("tool_calls_total", tool="search", outcome="ok") == 1
    for name in ("seconds", "expected_seconds", "actual_to_expected_ratio"):
        assert it.metric(f"tool_call_{name}_count", tool="search") == 1
    assert it.metric("tool_call_expected_seconds_sum", tool="search") == 1.5
    assert it.metric("tool_call_actual_to_expected_ratio_sum", tool="search") == 1.0
    assert it.metric("turns_total", engine="zero") == 2
