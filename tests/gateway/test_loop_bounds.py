"""The bounds of a tool loop: calls, turns, tokens, time."""

import asyncio
from contextlib import aclosing

from engine.types import Delta, Finished
from gateway.events import (
    LoopReport,
    ServerCallDone,
    TurnEvent,
)
from tests.parts.loop import (
    ANSWER,
    ONE_CALL,
    bench,
    only,
    reason,
    report,
    said,
)
from tests.parts.scripts import USAGE, call, text, turn
from tests.parts.tools import ScriptedTool


async def test_calls_beyond_the_limit_are_refused_as_results_and_the_model_must_answer() -> None:
    three = turn(*(call("search", index=index) for index in range(3)), reason="tool_calls")
    tool = ScriptedTool()
    async with bench(three, ANSWER, tools=[tool]) as it:
        events = await it.run(max_tool_calls=2)
    assert len(tool.calls) == 2
    (refused,) = [d for d in only(events, ServerCallDone) if d.outcome.outcome == "refused"]
    assert refused.id == "call-search-2" and "limit of 2" in refused.outcome.text
    assert [m["tool_call_id"] for m in it.asked(1)["messages"][2:]] == [
        f"call-search-{index}" for index in range(3)
    ]
    assert it.asked(1)["tool_choice"] == "none"
    assert report(events) == LoopReport(2, 2, "calls")
    assert reason(events) == "stop"


async def test_a_request_may_only_lower_the_operators_limit_of_calls() -> None:
    three = turn(*(call("search", index=index) for index in range(3)), reason="tool_calls")
    async with bench(three, ANSWER, calls=1) as it:
        assert report(await it.run(max_tool_calls=30)).calls == 1


async def test_the_last_turn_may_not_call_tools() -> None:
    async with bench(ONE_CALL, ONE_CALL, ANSWER, turns=3) as it:
        events = await it.run()
    assert [it.asked(index).get("tool_choice") for index in range(3)] == [None, None, "none"]
    assert report(events) == LoopReport(3, 2, "turns")
    assert said(events).endswith("it is so")


async def test_a_model_that_calls_tools_regardless_is_stopped_after_the_last_turn() -> None:
    async with bench(ONE_CALL, turns=2) as it:
        events = await it.run()
    assert (report(events).turns, report(events).stopped_by) == (2, "turns")
    assert reason(events) == "length"


async def test_the_operators_bound_of_tokens_cuts_a_turn_off() -> None:
    async with bench(turn(text(*["word "] * 9)), tokens=4) as it:
        events = await it.run()
    assert said(events).count("word") < 9
    assert (report(events).stopped_by, reason(events)) == ("tokens", "length")


async def test_the_bound_of_tokens_counts_all_turns() -> None:
    async with bench(ONE_CALL, ONE_CALL, ONE_CALL) as it:
        events = await it.run(max_tokens=5)
    bounds = [it.asked(index)["max_completion_tokens"] for index in range(3)]
    assert bounds == [5, 3, 1]
    assert "max_tokens" not in it.asked(0)
    assert (report(events).stopped_by, reason(events)) == ("tokens", "length")


async def test_the_newer_name_of_the_bound_of_tokens_counts_first() -> None:
    async with bench(ANSWER) as it:
        await it.run(max_completion_tokens=7, max_tokens=9)
    assert it.asked(0)["max_completion_tokens"] == 7


async def test_a_time_that_is_up_between_turns_ends_the_request() -> None:
    async with bench(ONE_CALL, ANSWER, time_s=10) as it:
        events: list[TurnEvent] = []
        async with asyncio.timeout(5), aclosing(await it.events()) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, ServerCallDone):
                    it.clock.now_s = 10.0
    assert (report(events), reason(events)) == (LoopReport(1, 1, "time"), "length")
    assert events[-1] == Finished(USAGE)


async def test_a_time_that_is_up_while_the_model_writes_cuts_it_off() -> None:
    async with bench([*turn(text("a"))[:2], asyncio.Event()], time_s=10) as it:
        events: list[TurnEvent] = []
        async with asyncio.timeout(5), aclosing(await it.events()) as running:
            async for event in running:
                events.append(event)
                if isinstance(event, Delta):
                    it.clock.now_s = 10.0
    assert (said(events), reason(events), report(events).stopped_by) == ("a", "length", "time")
    assert it.engine.left.is_set()
