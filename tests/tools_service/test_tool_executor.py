"""The life of a call: one answer each, whatever happens."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.parts.clock import Clock
from tests.tools_service.tool_stand_ins import Act, Stand, built, opened
from tools_service.call import Answer, Call, Started
from tools_service.errors import Draining
from tools_service.executor import Executor
from tools_service.pace import BURST
from tools_service.policy import Group
from tools_service.tools.registry import Arguments, Context, Output, Progress


async def silent(started: Started) -> None:
    """For tests that do not look at the start."""


_NUMBERS = itertools.count()


def begin(
    service: Stand, *, group: Group | None = None, shape: str = "any"
) -> asyncio.Task[Answer]:
    """A call like no other: identical ones would be one run."""
    call = Call("gate", {"shape": shape, "number": next(_NUMBERS)}, group or Group())
    return asyncio.create_task(service.parts.executor.call(call, silent))


async def ask(executor: Executor, text: str, tool: str = "act") -> Answer:
    return await executor.call(Call(tool, {"text": text}, Group()), silent)


@pytest.fixture
async def bench() -> AsyncIterator[Stand]:
    async with opened(slots=1, waiting=1) as built:
        yield built


async def test_a_call_answers_with_its_text_and_its_row(bench: Stand) -> None:
    answer = await ask(bench.parts.executor, "hello")
    assert (answer.text, answer.outcome, answer.failed) == ("hello", "ok", False)
    assert answer.shape == "hello"
    assert answer.expected is not None
    assert answer.expected.samples == 0
    assert (await ask(bench.parts.executor, "hello")).expected != answer.expected


async def test_a_failing_tool_is_an_answer_with_its_reason(bench: Stand) -> None:
    answer = await ask(bench.parts.executor, "fail")
    assert (answer.text, answer.outcome) == ("error: no such page", "error")


async def test_a_crashing_tool_is_an_answer_without_its_secrets(
    bench: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await ask(bench.parts.executor, "crash")
    assert answer.text == "error: act failed unexpectedly (RuntimeError)"
    assert "secret inside" in caplog.text


async def test_a_timeout_inside_a_tool_is_not_taken_for_ours(bench: Stand) -> None:
    answer = await ask(bench.parts.executor, "time")
    assert (answer.outcome, answer.text) == (
        "error",
        "error: act failed unexpectedly (TimeoutError)",
    )


async def test_a_bug_before_the_tool_runs_is_counted_as_an_error_and_leaves_nothing() -> None:
    class Shapeless(Act):
        def shape(self, arguments: Arguments) -> str:
            raise KeyError("depth")

    async with opened(Shapeless(str)) as service:
        with pytest.raises(KeyError):
            await ask(service.parts.executor, "hello")
        assert service.metric("calls_total", tool="act", outcome="error") == 1
        assert await service.parts.executor.drain(0)


async def test_an_unknown_tool_is_an_answer_that_names_the_others(bench: Stand) -> None:
    answer = await ask(bench.parts.executor, "hello", tool="nothing")
    assert answer.text == "error: unknown tool 'nothing'; the tools are: act, calculate, gate"
    assert bench.metric("calls_total", tool="unknown", outcome="error") == 1
    assert bench.metric("calls_total", tool="nothing", outcome="error") == 0


async def test_wrong_arguments_never_reach_the_tool(bench: Stand) -> None:
    call = Call("act", {"text": 5}, Group())
    answer = await bench.parts.executor.call(call, silent)
    assert answer.text == "error: text: 5 is not of type 'string'"
    assert answer.expected is None


async def test_a_call_that_takes_too_long_is_stopped() -> None:
    async with opened(timeout_s=0.01, timeout_floor_s=0.01) as service:
        async with asyncio.timeout(5):
            answer = await begin(service)
        assert answer.outcome == "timeout"
        assert answer.text == "error: gate did not finish within 0.0 s"
        assert service.gate.stopped.is_set()
        assert next(service.parts.table.lines()).timeouts == 1


async def test_the_callers_deadline_stops_a_call_earlier(bench: Stand) -> None:
    answer = await begin(bench, group=Group(deadline_s=0.01))
    assert answer.outcome == "timeout"
    assert bench.gate.stopped.is_set()


async def test_a_call_that_finds_no_slot_in_time_gives_up_and_leaves_the_table_alone() -> None:
    async with opened(slots=1, queue_s=0.01) as service:
        holder = begin(service)
        await service.gate.started.wait()
        answer = await begin(service, shape="late")
        assert answer.outcome == "timeout"
        assert answer.text.startswith("error: no free slot for gate")
        assert service.parts.executor.waiting == 0
        service.gate.opened.set()
        await holder
        assert [line.shape for line in service.parts.table.lines()] == ["*", "any"]


async def test_a_call_whose_wait_would_outlast_its_deadline_is_refused_at_once() -> None:
    async with opened(slots=1, per_tool={"gate": {"expected_s": (5.0, 5.0)}}) as service:
        holder = begin(service)
        await service.gate.started.wait()
        answer = await begin(service, group=Group(deadline_s=4.0))
        assert (answer.outcome, answer.failed, answer.run_s) == ("refused", True, 0.0)
        assert "the wait for a free slot would be about 5.0 s, longer than the 4.0 s" in answer.text
        assert answer.predicted_wait_s == pytest.approx(5.0, rel=0.01)
        assert service.metric("calls_total", tool="gate", outcome="refused") == 1
        service.gate.opened.set()
        await holder


async def test_the_group_with_less_to_do_overtakes_and_its_longest_call_leads() -> None:
    about = {name: {"expected_s": (mean_s, mean_s)} for name, mean_s in (("gate", 1), ("act", 2))}
    async with opened(slots=1, reserve=0, per_tool=about) as service:
        order: list[str] = []

        async def take(tool: str, arguments: Mapping[str, object], group: str) -> None:
            async def note(started: Started) -> None:
                order.append(f"{group} {tool}")

            await service.parts.executor.call(Call(tool, arguments, Group(id=group)), note)

        text = {"text": "1"}
        calls: list[tuple[str, Mapping[str, object], str]]
        calls = [("act", text, "large"), ("act", text, "large")]
        calls += [("gate", {"number": 2}, "small"), ("act", text, "small")]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(take("gate", {"number": 1}, "first"))
            await service.gate.started.wait()
            waiting = [tasks.create_task(take(*call)) for call in calls]
            while service.parts.executor.waiting < len(calls):
                await asyncio.wait(waiting, timeout=0)
            service.gate.opened.set()
        assert order == ["first gate", "small act", "small gate", "large act", "large act"]


async def test_a_call_too_many_is_refused(bench: Stand) -> None:
    first, second = begin(bench), begin(bench)
    await bench.gate.started.wait()
    answer = await begin(bench)
    assert (answer.outcome, answer.failed) == ("refused", True)
    assert "overloaded" in answer.text
    bench.gate.opened.set()
    assert [(await task).outcome for task in (first, second)] == ["ok", "ok"]
    assert bench.metric("calls_total", tool="gate", outcome="refused") == 1


async def test_cancelling_a_running_call_stops_the_tool_and_frees_the_slot(bench: Stand) -> None:
    holder, waiter = begin(bench), begin(bench)
    await bench.gate.started.wait()
    holder.cancel()
    await bench.gate.stopped.wait()
    bench.gate.opened.set()
    assert (await waiter).outcome == "ok"
    assert bench.parts.executor.running == 0
    assert bench.metric("calls_total", tool="gate", outcome="cancelled") == 1
    assert next(bench.parts.table.lines()).cancels == 1


async def test_cancelling_a_waiting_call_never_starts_it(bench: Stand) -> None:
    holder, waiter = begin(bench), begin(bench)
    await bench.gate.started.wait()
    waiter.cancel()
    await asyncio.wait([waiter])
    assert bench.parts.executor.waiting == 0
    bench.gate.opened.set()
    await holder
    assert len(bench.gate.seen) == 1
    assert bench.metric("calls_total", tool="gate", outcome="cancelled") == 1


async def test_the_start_is_announced_before_the_tool_runs_and_after_the_wait(
    bench: Stand,
) -> None:
    seen: list[tuple[Started, int]] = []

    def attempts() -> int:
        return int(bench.metric("run_seconds_count", tool="act"))

    async def note(started: Started) -> None:
        assert bench.metric("wait_seconds_count", tool="act") == 1
        seen.append((started, attempts()))

    answer = await bench.parts.executor.call(Call("act", {"text": "hello"}, Group()), note)
    assert answer.expected is not None
    known = answer.expected
    start = Started(known.range_s, answer.wait_s, known.mean_s, known.p95_s)
    assert seen == [(start, 0)]
    assert attempts() == 1


async def test_a_flood_of_progress_is_thinned_out() -> None:
    class Busy(Act):
        async def run(self, arguments: Arguments, context: Context) -> Output:
            for step in range(1000):
                await context.tell(Progress(float(step)))
            return Output("done")

    heard: list[float] = []

    async def tell(progress: Progress) -> None:
        heard.append(progress.done)

    service = built(Clock(), Busy(str))
    async with asyncio.timeout(20), service.parts.executor.opened():
        await service.parts.executor.call(Call("act", {"text": ""}, Group(), tell=tell), silent)
    assert heard == [float(step) for step in range(BURST)]


async def test_a_tool_is_told_the_ids_of_its_caller(bench: Stand) -> None:
    bench.gate.opened.set()
    await begin(bench, group=Group(id="g1", session="s1"))
    assert [(seen.session, seen.group) for seen in bench.gate.seen] == [("s1", "g1")]


async def test_slots_and_the_cap_of_a_tool_bound_what_runs() -> None:
    async with opened(slots=4, per_tool={"gate": {"slots": 2}}) as service:
        calls = [begin(service) for _ in range(6)]
        await service.gate.started.wait()
        service.gate.opened.set()
        await asyncio.gather(*calls)
        assert service.gate.most == 2


async def test_draining_refuses_the_new_and_waits_for_the_old(bench: Stand) -> None:
    call = begin(bench)
    await bench.gate.started.wait()
    draining = asyncio.create_task(bench.parts.executor.drain(20))
    while not bench.parts.executor.draining:
        await asyncio.wait([draining], timeout=0)
    with pytest.raises(Draining):
        await ask(bench.parts.executor, "hello")
    assert not draining.done()
    bench.gate.opened.set()
    assert await draining
    assert (await call).outcome == "ok"


async def test_a_drain_does_not_wait_for_ever(bench: Stand) -> None:
    call = begin(bench)
    await bench.gate.started.wait()
    assert not await bench.parts.executor.drain(0)
    call.cancel()
    await asyncio.wait([call])


async def test_a_long_result_is_cut_and_says_so() -> None:
    async with opened(result_bytes=1024) as service:
        answer = await ask(service.parts.executor, "5000")
        assert len(answer.text.encode()) <= 1024
        assert answer.text.endswith("[truncated: the result has 10000 bytes]")
        assert answer.cut_bytes > 8000


async def test_every_metric_of_a_call_moves(bench: Stand) -> None:
    holder, waiter = begin(bench), begin(bench)
    await bench.gate.started.wait()
    assert bench.metric("running", tool="gate") == 1
    assert bench.metric("waiting") == 1
    bench.gate.opened.set()
    await asyncio.gather(holder, waiter)
    assert bench.metric("running", tool="gate") == 0
    assert bench.metric("waiting") == 0
    assert bench.metric("table_shapes") == 1
    assert bench.metric("calls_total", tool="gate", outcome="ok") == 2
    for name in ("run_seconds", "wait_seconds", "runtime_ratio"):
        assert bench.metric(f"{name}_count", tool="gate") == 2
    inside = [bench.metric("inside_range_total", tool="gate", inside=i) for i in ("yes", "no")]
    assert bench.metric("inside_share", tool="gate") == inside[0] / 2
    assert sum(inside) == 2
