"""A second attempt beside a slow one."""

import asyncio

import pytest

from tests.conformance.fixture_tools import NAME
from tests.tools_service.test_retries import ONCE, ask, silent
from tests.tools_service.tool_stand_ins import Trial, opened
from tools_service.call import Call
from tools_service.errors import ToolFailed, Transient
from tools_service.policy import Group
from tools_service.tools.asks import InputNeeded
from tools_service.tools.registry import Annotations

# The table expects it to be over at once, so its p95 has passed as soon as it runs.
SLOW = {
    "per_tool": {"trial": {"expected_s": (0.001, 0.001)}},
    "timeout_floor_s": 60.0,
    "retry": {"attempts": 1},
}
CLOSED = Annotations(read_only=True, idempotent=True, open_world=False)


async def test_the_second_attempt_answers_and_the_first_is_stopped() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        assert service.metric("running", tool="trial") == 2
        second.answers("quick")
        answer = await asking
        await first.stopped()
        assert "quick" in answer.text
        assert (answer.outcome, answer.attempts, answer.hedged) == ("ok", 2, True)
        assert service.metric("hedges_total", tool="trial", end="won") == 1
        assert service.metric("calls_total", tool="trial", outcome="ok") == 1
        assert service.parts.executor.running == 0


async def test_the_first_attempt_answers_and_the_second_is_stopped() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        first.answers("slow")
        answer = await asking
        await second.stopped()
        assert "slow" in answer.text
        assert service.metric("hedges_total", tool="trial", end="lost") == 1
        assert service.parts.executor.running == 0


async def test_a_failure_that_may_pass_waits_for_the_other_attempt() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        first.fails(Transient("busy"))
        await asyncio.wait([first.end])
        second.answers()
        assert (await asking).outcome == "ok"


async def test_a_tool_that_says_no_has_answered() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        first.fails(ToolFailed("no such page"))
        assert (await asking).text == "error: no such page"
        await second.stopped()


async def test_a_tool_that_asks_its_user_has_answered() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        needed = InputNeeded({"name": NAME})
        second.fails(needed)
        answer = await asking
        assert (answer.outcome, answer.asked) == ("asked", needed)
        await first.stopped()
        assert service.metric("calls_total", tool="trial", outcome="asked") == 1


async def test_two_failures_are_one() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        second.fails(Transient("second"))
        first.fails(Transient("first"))
        assert (await asking).text == "error: first"
        assert service.metric("calls_total", tool="trial", outcome="error") == 1


async def test_a_retry_without_a_second_attempt_of_its_own_does_not_count_the_first_ones() -> None:
    tool = Trial()
    settings = {**SLOW, "retry": {"pause_s": 0.001}, "slots": 2}
    async with opened(tool, **settings) as service:
        asking = ask(service)
        runs = [await tool.begun.get(), await tool.begun.get()]
        gate = Call("gate", {}, Group())
        waiting = asyncio.create_task(service.parts.executor.call(gate, silent))
        while not service.parts.executor.waiting:
            await asyncio.wait([waiting], timeout=0)
        for run in runs:
            run.fails(Transient("busy"))
        # The gate has one of the two slots now, so there is none for a third attempt's like.
        third = await tool.begun.get()
        await asyncio.wait([third.end], timeout=0.05)  # past its p95
        third.answers()
        answer = await asking
        assert (answer.attempts, answer.hedged) == (3, True)
        assert service.metric("hedges_total", tool="trial", end="lost") == 1
        service.gate.opened.set()
        await waiting


async def test_a_caller_that_leaves_stops_both() -> None:
    tool = Trial()
    async with opened(tool, **SLOW) as service:
        asking = ask(service)
        first, second = await tool.begun.get(), await tool.begun.get()
        asking.cancel()
        await first.stopped()
        await second.stopped()
        await asyncio.wait([asking])
        assert service.metric("calls_total", tool="trial", outcome="cancelled") == 1


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        (Trial(annotations=CLOSED), {}),
        (Trial(annotations=ONCE), {}),
        (Trial(), {"slots": 1}),
        (Trial(), {"per_upstream": {"web": {"slots": 1}}}),
        (Trial(), {"hedge": {"share": 0}}),
    ],
    ids=["closed world", "may change something", "no slot", "no slot upstream", "switched off"],
)
async def test_there_is_no_second_attempt(tool: Trial, more: dict[str, object]) -> None:
    async with opened(tool, **SLOW, **more) as service:
        answer = await ask(service, deadline_s=0.3)
        assert (answer.outcome, answer.hedged) == ("timeout", False)
        assert tool.begun.qsize() <= 1


async def test_when_every_call_is_slow_second_attempts_stay_within_their_budget() -> None:
    tool = Trial()
    async with opened(tool, slots=400, **SLOW) as service:
        calls = [Call("trial", {"number": number}, Group()) for number in range(100)]
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(service.parts.executor.call(call, silent))
            runs = [await tool.begun.get() for _ in range(105)]
            while not tool.begun.empty():
                runs.append(tool.begun.get_nowait())
            for run in runs:
                run.answers()
        # Five were saved, and each of a hundred calls earned a twentieth.
        assert 5 <= service.metric("hedges_total", tool="trial", end="lost") <= 5 + 5
