"""Identical calls are one run while it lasts, and one result for a while after."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools_service.test_retries import ONCE, silent
from tests.tools_service.tool_stand_ins import Run, Stand, Trial, opened
from tools_service.call import Answer, Call, Started
from tools_service.errors import ConfigError, Draining, ToolFailed
from tools_service.policy import Group
from tools_service.tools.asks import NOTHING, Inputs
from tools_service.tools.registry import Progress, canonical

PLAIN = {"hedge": {"share": 0}}
ALICE, BOB = "alice", "bob"


def ask(service: Stand, call: Call) -> asyncio.Task[Answer]:
    return asyncio.create_task(service.parts.executor.call(call, silent))


def trial(caller: str = ALICE, query: str = "cats", **group: object) -> Call:
    return Call("trial", {"query": query, "n": 1}, Group(**group), caller)  # type: ignore[arg-type]


async def settled(*tasks: asyncio.Task[Answer]) -> None:
    """Lets every task run until it waits for something that has not happened."""
    for _ in range(5):
        await asyncio.wait(tasks, timeout=0)


async def test_identical_calls_are_one_run_and_each_has_its_answer() -> None:
    tool = Trial()
    async with opened(tool, slots=1, **PLAIN) as service:
        owner = ask(service, trial())
        run = await tool.begun.get()
        same = Call("trial", {"n": 1, "query": "cats"}, Group(session="other"), ALICE)
        followers = [ask(service, same) for _ in range(3)]
        await settled(*followers)
        run.answers()
        answers = await asyncio.gather(owner, *followers)
        assert {answer.text for answer in answers} == {answers[0].text}
        assert [answer.shared for answer in answers] == [False, True, True, True]
        assert service.metric("followers_total", tool="trial") == 3
        assert service.metric("calls_total", tool="trial", outcome="ok") == 4
        assert next(service.parts.table.lines()).samples == 1


async def test_a_failure_is_shared_too() -> None:
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        asking = [ask(service, trial()) for _ in range(2)]
        (await tool.begun.get()).fails(ToolFailed("no such page"))
        assert [answer.text for answer in await asyncio.gather(*asking)] == [
            "error: no such page"
        ] * 2


async def test_a_tool_that_cancels_itself_has_failed_for_all_who_wait() -> None:
    """Nobody had cancelled the run, so nobody was told, and they waited for ever."""
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        asking = [ask(service, trial()) for _ in range(2)]
        (await tool.begun.get()).end.cancel()
        for answer in await asyncio.gather(*asking):
            assert answer.text == "error: trial failed unexpectedly (CancelledError)"


@pytest.mark.parametrize(
    ("other", "about", "runs"),
    [
        (trial(query="dogs"), {}, 2),
        (trial(BOB), {}, 2),
        (trial(BOB), {"public": True}, 1),
    ],
    ids=["other arguments", "another caller", "another caller of a public tool"],
)
async def test_what_is_not_identical_runs_by_itself(
    other: Call, about: dict[str, object], runs: int
) -> None:
    tool = Trial()
    async with opened(tool, per_tool={"trial": about}, **PLAIN) as service:
        asking = [ask(service, trial()), ask(service, other)]
        await settled(*asking)
        begun = [tool.begun.get_nowait() for _ in range(tool.begun.qsize())]
        for run in begun:
            run.answers()
        await asyncio.gather(*asking)
        assert len(begun) == runs


async def test_a_tool_that_may_change_something_is_run_for_everybody() -> None:
    tool = Trial(annotations=ONCE)
    async with opened(tool) as service:
        asking = [ask(service, trial()) for _ in range(2)]
        for _ in range(2):
            (await tool.begun.get()).answers()
        assert not any(answer.shared for answer in await asyncio.gather(*asking))


async def test_the_run_outlives_the_caller_that_began_it() -> None:
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        owner = ask(service, trial())
        run = await tool.begun.get()
        follower = ask(service, trial())
        await settled(follower)
        owner.cancel()
        await asyncio.wait([owner])
        run.answers()
        assert (await follower).outcome == "ok"
        outcomes = ("ok", "cancelled")
        counted = [service.metric("calls_total", tool="trial", outcome=o) for o in outcomes]
        assert counted == [1, 1]


async def test_the_run_is_stopped_when_the_last_caller_leaves_and_nobody_joins_it_then() -> None:
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        asking = [ask(service, trial()) for _ in range(2)]
        run = await tool.begun.get()
        await settled(*asking)
        for task in asking:
            task.cancel()
        late = ask(service, trial())
        await run.stopped()
        (await tool.begun.get()).answers()
        assert not (await late).shared
        assert service.metric("calls_total", tool="trial", outcome="cancelled") == 2
        assert service.parts.executor.running == 0


async def test_one_callers_deadline_is_not_the_others() -> None:
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        hasty = ask(service, trial(deadline_s=0.05))
        patient = ask(service, trial(deadline_s=15.0))
        run = await tool.begun.get()
        assert (await hasty).outcome == "timeout"
        assert not run.end.done()
        run.answers()
        assert (await patient).outcome == "ok"


async def test_a_call_refused_for_its_deadline_does_not_refuse_those_that_joined_it() -> None:
    tool = Trial()
    about = {"trial": {"expected_s": (5.0, 5.0)}}
    async with opened(tool, slots=1, per_tool=about, **PLAIN) as service:
        holder = ask(service, trial(query="dogs"))
        run = await tool.begun.get()
        hasty = ask(service, trial(deadline_s=1.0))
        patient = ask(service, trial())
        assert (await hasty).outcome == "refused"
        run.answers()
        (await tool.begun.get()).answers()
        assert [(await task).outcome for task in (holder, patient)] == ["ok", "ok"]


async def test_start_and_progress_reach_all_who_wait_and_a_late_one_learns_of_the_start() -> None:
    tool = Trial()
    seen: list[tuple[str, object]] = []
    told = asyncio.Event()

    def listening(service: Stand, name: str) -> asyncio.Task[Answer]:
        async def announce(started: Started) -> None:
            seen.append((name, started.wait_s if name == "late" else "started"))
            told.set()

        async def tell(progress: Progress) -> None:
            seen.append((name, progress.done))

        call = Call("trial", {}, Group(), ALICE, tell)
        return asyncio.create_task(service.parts.executor.call(call, announce))

    async with opened(tool, **PLAIN) as service:
        asking = [listening(service, "owner"), listening(service, "follower")]
        run = await tool.begun.get()
        await settled(*asking)
        told.clear()
        asking.append(listening(service, "late"))
        await told.wait()
        await run.context.tell(Progress(1.0))
        run.answers()
        await asyncio.gather(*asking)
    assert sorted(map(str, seen)) == sorted(
        map(
            str,
            [
                *[("owner", "started"), ("follower", "started"), ("late", 0.0)],
                *[(name, 1.0) for name in ("owner", "follower", "late")],
            ],
        )
    )


async def test_a_caller_that_does_not_read_holds_up_neither_the_tool_nor_the_others() -> None:
    tool, never = Trial(), asyncio.Event()

    async def stuck(progress: Progress) -> None:
        await never.wait()

    async with opened(tool, **PLAIN) as service:
        slow = ask(service, Call("trial", {}, Group(), ALICE, stuck))
        quick = ask(service, Call("trial", {}, Group(), ALICE))
        run = await tool.begun.get()
        await settled(quick)
        for step in range(1000):
            await run.context.tell(Progress(float(step)))
        run.answers()
        assert (await quick).outcome == "ok"
        assert not slow.done()
        never.set()
        assert (await slow).outcome == "ok"


async def test_closing_ends_those_who_still_wait() -> None:
    tool = Trial()
    async with asyncio.timeout(20):
        async with opened(tool, **PLAIN) as service:
            asking = ask(service, trial())
            run = await tool.begun.get()
        await run.stopped()
        await asyncio.wait([asking])
    assert isinstance(asking.exception(), Draining)


async def test_who_can_be_asked_has_a_run_of_his_own() -> None:
    tool = Trial()
    able = Inputs(askable=frozenset({"elicitation/create"}))
    async with opened(tool, **PLAIN) as service:
        asking = [
            ask(service, Call("trial", {}, Group(), ALICE, inputs=i)) for i in (NOTHING, able)
        ]
        for _ in asking:
            (await tool.begun.get()).answers()
        assert not any(answer.shared for answer in await asyncio.gather(*asking))


async def answered(tool: Trial, service: Stand, call: Call) -> Answer:
    """Asks, and answers if the tool is asked."""
    asking, running = ask(service, call), asyncio.create_task(tool.begun.get())
    await asyncio.wait([asking, running], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        run: Run = running.result()
        run.answers()
    running.cancel()
    return await asking


async def test_a_result_is_kept_for_as_long_as_the_settings_say() -> None:
    tool = Trial()
    about = {"trial": {"cache_s": 1000.0}}
    async with opened(tool, per_tool=about, **PLAIN) as service:
        first = await answered(tool, service, trial())
        second = await answered(tool, service, trial())
        third = await answered(tool, service, trial(BOB))
        assert [a.cached for a in (first, second, third)] == [False, True, False]
        assert (second.text, second.attempts, second.run_s) == (first.text, 0, 0.0)
        assert service.metric("cache_hits_total", tool="trial") == 1
        assert service.metric("calls_total", tool="trial", outcome="ok") == 3
        assert next(service.parts.table.lines()).samples == 2


async def test_without_a_setting_and_without_success_nothing_is_kept() -> None:
    tool = Trial()
    async with opened(tool, **PLAIN) as service:
        for _ in range(2):
            assert not (await answered(tool, service, trial())).cached
    about = {"trial": {"cache_s": 1000.0}}
    async with opened(tool, per_tool=about, **PLAIN) as service:
        for _ in range(2):
            asking = ask(service, trial())
            (await tool.begun.get()).fails(ToolFailed("no such page"))
            assert (await asking).outcome == "error"


@pytest.mark.parametrize("about", [{"cache_s": 5.0}, {"public": True}])
async def test_what_may_change_something_cannot_be_kept_or_public(about: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(about))):
        async with opened(Trial(annotations=ONCE), per_tool={"trial": about}):
            pass


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), json, max_size=4))
def test_the_order_of_names_does_not_matter(arguments: dict[str, object]) -> None:
    assert canonical(arguments) == canonical(dict(reversed(arguments.items())))


def test_what_only_looks_alike_is_told_apart() -> None:
    values: tuple[object, ...] = (1, 1.0, True, "1", [1], None)
    assert len({canonical({"a": value}) for value in values}) == len(values)
