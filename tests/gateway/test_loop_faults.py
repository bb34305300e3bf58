"""What goes wrong in a tool loop, and how it is left."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from engine.errors import EngineError, EngineFailed
from engine.types import Delta
from gateway.errors import ToolsDown
from gateway.events import (
    ServerCallDone,
    ServerCallStarted,
)
from tests.parts.loop import (
    ANSWER,
    ONE_CALL,
    Bench,
    bench,
    bench_without_service,
    only,
    report,
    result,
    said,
)
from tests.parts.scripts import call, text, turn
from tests.parts.tools import ScriptedTool


async def test_a_failed_tool_is_a_result_the_model_sees() -> None:
    tool = ScriptedTool(text="no such page", failed=True)
    async with bench(ONE_CALL, ANSWER, tools=[tool]) as it:
        events = await it.run()
    assert it.asked(1)["messages"][-1] == result("call-search-0", "no such page")
    (done,) = only(events, ServerCallDone)
    assert (done.outcome.failed, done.outcome.outcome) == (True, "error")
    assert it.metric("tool_calls_total", tool="search", outcome="error") == 1


@pytest.mark.parametrize("arguments", ["{", "[]", "null", "7", '{"a": NaN}', "\ud800"])
async def test_arguments_that_are_no_object_are_a_result_the_model_sees(arguments: str) -> None:
    broken = turn(call("search", arguments), reason="tool_calls")
    tool = ScriptedTool()
    async with bench(broken, ANSWER, tools=[tool]) as it:
        await it.run()
    assert "not a JSON object" in it.asked(1)["messages"][-1]["content"]
    assert not tool.calls


async def test_no_arguments_are_an_empty_object() -> None:
    tool = ScriptedTool()
    async with bench(turn(call("search", "")), ANSWER, tools=[tool]) as it:
        await it.run()
    assert tool.calls[0]["arguments"] == {}


async def test_a_service_that_is_down_is_an_error() -> None:
    async with bench_without_service(ANSWER) as it:
        with pytest.raises(ToolsDown):
            await it.run()
    assert not it.engine.calls


async def test_answers_may_do_without_a_service_that_is_down() -> None:
    """A tool choice without tools made engines refuse the request."""
    async with bench_without_service(ANSWER, when_down="answer_without") as it:
        events = await it.run(tool_choice="auto")
    assert (said(events), report(events).tools_missing) == ("it is so", True)
    assert not it.asked(0).keys() & {"tools", "tool_choice"}


async def test_a_service_that_dies_in_the_middle_of_a_call_is_an_error() -> None:
    tool = ScriptedTool(dies=True)
    async with bench(ONE_CALL, ANSWER, tools=[tool]) as it:
        with pytest.raises(ToolsDown):
            await it.run()
        assert it.metric("tool_calls_total", tool="search", outcome="service_down") == 1


async def test_its_siblings_end_before_a_broken_call_ends_the_request() -> None:
    broken, fine = ScriptedTool("broken", dies=True), ScriptedTool("fine", gate=asyncio.Event())
    both = turn(call("broken"), call("fine", index=1), reason="tool_calls")
    async with bench(both, ANSWER, tools=[broken, fine]) as it:
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            running = group.create_task(_refusal(it))
            await fine.started.wait()
            assert fine.gate is not None and not running.done()
            fine.gate.set()
        assert isinstance(running.result(), ToolsDown)
        assert not fine.left.is_set()


async def _refusal(it: Bench) -> ToolsDown:
    with pytest.raises(ToolsDown) as caught:
        await it.run()
    return caught.value


async def test_a_service_that_dies_in_the_middle_of_a_call_may_be_a_result() -> None:
    tool = ScriptedTool(dies=True)
    async with bench(ONE_CALL, ANSWER, tools=[tool], when_down="answer_without") as it:
        events = await it.run()
    assert said(events) == "look: it is so"
    assert "unavailable" in it.asked(1)["messages"][-1]["content"]


async def test_an_engines_error_in_a_later_turn_is_raised_as_itself() -> None:
    tool = ScriptedTool("slow", gate=asyncio.Event())
    second = [*turn(call("slow"))[:-2], tool.started, EngineFailed("broken")]
    async with bench(ONE_CALL, second, tools=[ScriptedTool(), tool]) as it:
        with pytest.raises(EngineError, match="broken") as caught:
            await it.run()
        assert type(caught.value) is EngineFailed
        async with asyncio.timeout(5):
            await tool.left.wait()


async def test_closing_in_the_middle_of_a_call_stops_the_tool_and_leaves_nothing_behind() -> None:
    tool = ScriptedTool(gate=asyncio.Event())
    async with bench(ONE_CALL, ANSWER, tools=[tool]) as it:
        before = asyncio.all_tasks()
        async with asyncio.timeout(5):
            async with aclosing(await it.events()) as events:
                async for event in events:
                    if isinstance(event, ServerCallStarted):
                        break
            assert not {task for task in asyncio.all_tasks() - before if _is_ours(task)}
            await tool.left.wait()


def _is_ours(task: asyncio.Task[Any]) -> bool:
    return task.get_name().startswith("tool ")


async def test_cancelling_in_the_middle_of_a_call_stops_the_tool() -> None:
    tool = ScriptedTool(gate=asyncio.Event())
    async with bench(ONE_CALL, ANSWER, tools=[tool]) as it:
        async with asyncio.timeout(5):
            running = asyncio.create_task(it.run())
            await tool.started.wait()
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
            await tool.left.wait()


async def test_closing_while_the_model_writes_has_left_the_engine_when_it_returns() -> None:
    """The engine's generator was left to the garbage collector: its abort came some time later."""
    async with bench(turn(text("a", "b"))) as it, asyncio.timeout(5):
        async with aclosing(await it.events()) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        assert it.engine.left.is_set()
        assert it.engine.running == 0
