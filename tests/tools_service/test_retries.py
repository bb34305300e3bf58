"""Another attempt after a failure that may pass: for whom, how often, and what it costs others."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parts.clock import Clock
from tests.tools_service.tool_stand_ins import Act, Stand, Trial, built, opened
from tools_service.call import Answer, Call, Started
from tools_service.errors import RateLimited, TimedOut, ToolFailed, Transient
from tools_service.execution_config import RetryConfig
from tools_service.policy import Group
from tools_service.retry import pause_s
from tools_service.tools.registry import Annotations, Progress

QUICK = {"retry": {"pause_s": 0.001}, "hedge": {"share": 0}}
IDEMPOTENT = Annotations(read_only=False, idempotent=True, open_world=True)
ONCE = Annotations(read_only=False, idempotent=False, open_world=True)
BUSY = Transient("busy")


async def silent(started: Started) -> None:
    """For tests that do not look at the start."""


def ask(service: Stand, **group: float) -> asyncio.Task[Answer]:
    call = Call("trial", {}, Group(**group))  # type: ignore[arg-type]  # deadlines only
    return asyncio.create_task(service.parts.executor.call(call, silent))


@pytest.mark.parametrize("hints", [Trial().annotations, IDEMPOTENT])
async def test_a_call_that_is_safe_to_repeat_is_repeated_until_it_works(hints: Annotations) -> None:
    tool = Trial(annotations=hints)
    async with opened(tool, **QUICK) as service:
        asking = ask(service)
        for _ in range(2):
            (await tool.begun.get()).fails(BUSY)
        (await tool.begun.get()).answers()
        answer = await asking
        assert (answer.outcome, answer.attempts) == ("ok", 3)
        assert service.metric("calls_total", tool="trial", outcome="ok") == 1
        assert service.metric("retries_total", tool="trial") == 2


async def test_every_attempt_is_observed_by_itself() -> None:
    tool = Trial()
    async with opened(tool, **QUICK) as service:
        asking = ask(service)
        (await tool.begun.get()).fails(BUSY)
        (await tool.begun.get()).answers()
        await asking
        whole = next(service.parts.table.lines())
        assert (whole.errors, whole.samples) == (1, 1)
        assert service.metric("run_seconds_count", tool="trial") == 2
        assert service.metric("wait_seconds_count", tool="trial") == 2


async def test_another_sides_slowness_is_a_timeout_and_may_pass() -> None:
    """A page that did not come in time was a mistake of the model's, and its time not one."""
    tool = Trial()
    async with opened(tool, **QUICK) as service:
        asking = ask(service)
        (await tool.begun.get()).fails(TimedOut("no complete answer within 20 s"))
        (await tool.begun.get()).answers()
        assert (await asking).outcome == "ok"
        assert next(service.parts.table.lines()).timeouts == 1
    once = Trial(annotations=ONCE)
    async with opened(once, **QUICK) as service:
        asking = ask(service)
        (await once.begun.get()).fails(TimedOut("no complete answer within 20 s"))
        answer = await asking
        assert (answer.outcome, answer.text) == ("timeout", "error: no complete answer within 20 s")


async def test_a_call_that_may_change_something_is_never_run_twice() -> None:
    tool = Trial(annotations=ONCE)
    async with opened(tool, **QUICK) as service:
        asking = ask(service)
        (await tool.begun.get()).fails(BUSY)
        answer = await asking
        assert (answer.text, answer.attempts) == ("error: busy", 1)
        assert tool.begun.empty()


@pytest.mark.parametrize("failure", [ToolFailed("no such page"), RuntimeError("bug")])
async def test_a_failure_that_will_not_pass_is_the_answer(failure: Exception) -> None:
    tool = Trial()
    async with opened(tool, **QUICK) as service:
        asking = ask(service)
        (await tool.begun.get()).fails(failure)
        assert (await asking).attempts == 1


async def test_after_the_last_attempt_its_failure_is_the_answer() -> None:
    tool = Trial()
    async with opened(tool, retry={"attempts": 2, "pause_s": 0.001}) as service:
        asking = ask(service)
        (await tool.begun.get()).fails(BUSY)
        (await tool.begun.get()).fails(Transient("still busy"))
        answer = await asking
        assert (answer.text, answer.outcome) == ("error: still busy", "error")
        assert service.metric("calls_total", tool="trial", outcome="error") == 1


async def test_when_everything_fails_retries_stay_within_their_budget() -> None:
    def busy(text: str) -> str:
        raise BUSY

    hints = Annotations(read_only=False, idempotent=True, open_world=False)
    retry = {"pause_s": 0.001, "share": 0.1}
    async with opened(Act(busy, annotations=hints), retry=retry) as service:
        for _ in range(100):
            await service.parts.executor.call(Call("act", {"text": "x"}, Group()), silent)
        # Those that were saved, and a tenth of the calls.
        assert 10 <= service.metric("retries_total", tool="act") <= 5 + 10


async def test_a_call_that_pauses_holds_no_slot() -> None:
    tool = Trial()
    async with opened(tool, slots=1, **QUICK) as service:
        patient = ask(service)
        (await tool.begun.get()).fails(RateLimited("web", 9.0))
        other = Call("act", {"text": "through"}, Group())
        answer = await service.parts.executor.call(other, silent)
        assert answer.text == "through"
        assert not patient.done()
        patient.cancel()
        await asyncio.wait([patient])
        assert service.metric("calls_total", tool="trial", outcome="cancelled") == 1


async def test_a_wait_that_outlasts_the_deadline_is_not_waited_for() -> None:
    tool = Trial()
    async with opened(tool, **QUICK) as service:
        asking = ask(service, deadline_s=8.0)
        (await tool.begun.get()).fails(RateLimited("web", 9.0))
        answer = await asking
        assert (answer.outcome, answer.attempts) == ("error", 1)
        assert "asks to wait for 9 s" in answer.text


async def test_a_retry_whose_slot_would_come_after_the_deadline_is_not_queued() -> None:
    tool, clock = Trial(), Clock()
    about = {"trial": {"expected_s": (0.01, 0.02)}, "gate": {"expected_s": (5.0, 5.0)}}
    service = built(clock, tool, slots=1, per_tool=about, **QUICK)
    async with asyncio.timeout(20), service.parts.executor.opened():
        asking = ask(service, deadline_s=8.0)
        run = await tool.begun.get()
        gate = Call("gate", {}, Group())
        holding = asyncio.create_task(service.parts.executor.call(gate, silent))
        while not service.parts.executor.waiting:
            await asyncio.wait([holding], timeout=0)
        clock.now_s = 6.0
        run.fails(BUSY)
        answer = await asking
        assert (answer.text, answer.attempts) == ("error: busy", 1)
        service.gate.opened.set()
        await holding


async def test_the_start_is_told_once_and_progress_only_goes_forward() -> None:
    tool, starts = Trial(), list[Started]()
    seen: list[float] = []

    async def started(start: Started) -> None:
        starts.append(start)

    async def tell(progress: Progress) -> None:
        seen.append(progress.done)

    async with opened(tool, **QUICK) as service:
        call = Call("trial", {}, Group(), tell=tell)
        asking = asyncio.create_task(service.parts.executor.call(call, started))
        first = await tool.begun.get()
        for done in (1.0, 2.0):
            await first.context.tell(Progress(done))
        first.fails(BUSY)
        second = await tool.begun.get()
        for done in (1.0, 2.0, 3.0):
            await second.context.tell(Progress(done))
        second.answers()
        await asking
    assert len(starts) == 1
    assert seen == [1.0, 2.0, 3.0]


@given(st.integers(1, 12), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 100))
def test_a_pause_is_bounded_and_as_long_as_was_asked(
    attempts: int, chance: float, asked_s: float | None
) -> None:
    config = RetryConfig(attempts=10, pause_s=0.5, longest_pause_s=8.0)
    wait_s = pause_s(config, RateLimited("web", asked_s), attempts, chance)
    if attempts >= 10 or (asked_s or 0.0) > 8.0:
        assert wait_s is None
    elif asked_s is None:
        assert wait_s is not None
        assert 0 <= wait_s <= min(0.5 * 2 ** (attempts - 1), 8.0)
    else:
        assert wait_s is not None
        assert asked_s <= wait_s <= asked_s + 0.5


@given(st.integers(1, 9))
def test_only_what_may_pass_is_worth_a_pause(attempts: int) -> None:
    config = RetryConfig(attempts=10)
    for failure in (None, ToolFailed("no"), ValueError()):
        assert pause_s(config, failure, attempts, 0.5) is None
