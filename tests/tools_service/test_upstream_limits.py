"""A service behind tools: left alone when it keeps failing, and limited as one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.parts.clock import Clock
from tests.tools_service.test_retries import silent
from tests.tools_service.test_sharing import ask, settled
from tests.tools_service.tool_stand_ins import Act, Stand, Trial, built, opened
from tools_service.call import Answer, Call
from tools_service.errors import ConfigError, RateLimited, ToolFailed, Transient
from tools_service.policy import Group
from tools_service.tools.registry import Annotations

CODE = Annotations(read_only=False, idempotent=False, open_world=False)
BREAKER = {"calls": 2, "open_s": 30.0}


def acting(text: str) -> str:
    match text:
        case "busy":
            raise Transient("busy")
        case "limited":
            raise RateLimited("web", None)
        case "no":
            raise ToolFailed("no such page")
        case "bug":
            raise RuntimeError
    return text


@pytest.fixture
async def bench() -> AsyncIterator[Stand]:
    """A tool of the upstream `web`, whose breaker opens after two failures."""
    tools = [Act(acting, name="look", upstream="web"), Act(acting, name="read", upstream="web")]
    async with opened(*tools, breaker=BREAKER) as built:
        yield built


async def look(bench: Stand, text: str, tool: str = "look") -> Answer:
    return await bench.parts.executor.call(Call(tool, {"text": text}, Group()), silent)


def state(bench: Stand) -> float:
    return bench.metric("breaker_state", upstream="web")


@pytest.mark.parametrize("text", ["busy", "limited"])
async def test_an_upstream_that_keeps_failing_is_refused_at_once_for_all_its_tools(
    bench: Stand, text: str
) -> None:
    for tool in ("look", "read"):
        assert (await look(bench, text, tool)).outcome == "error"
    assert state(bench) == 1
    for tool in ("look", "read"):
        answer = await look(bench, "hello", tool)
        assert (answer.outcome, answer.attempts) == ("refused", 0)
        assert answer.text.startswith("error: web keeps failing")
        assert "try again in " in answer.text
        assert bench.metric("calls_total", tool=tool, outcome="refused") == 1
    assert (await look(bench, "hello", "act")).outcome == "ok"


@pytest.mark.parametrize("text", ["no", "bug", "hello"])
async def test_an_upstream_that_answers_is_left_open_to_all(bench: Stand, text: str) -> None:
    for _ in range(4):
        await look(bench, text)
    assert state(bench) == 0


async def test_a_timeout_counts_as_a_failure_of_the_upstream() -> None:
    tool = Trial()
    settings = {"timeout_s": 0.01, "timeout_floor_s": 0.01, "hedge": {"share": 0}}
    async with opened(tool, breaker=BREAKER, **settings) as service:
        for _ in range(2):
            assert (await ask(service, Call("trial", {}, Group()))).outcome == "timeout"
        assert service.metric("breaker_state", upstream="web") == 1


async def test_a_call_given_up_later_than_nearly_all_end_counts_as_a_failure_too() -> None:
    tool, clock = Trial(annotations=CODE), Clock()
    about = {"trial": {"expected_s": (1.0, 2.0)}}
    breaker = {**BREAKER, "window_s": 1000.0}
    service = built(clock, tool, breaker=breaker, per_tool=about)
    async with asyncio.timeout(20), service.parts.executor.opened():
        for patience_s, opened_after in ((1.0, 0), (1.0, 0), (60.0, 0), (60.0, 1)):
            asking = ask(service, Call("trial", {}, Group()))
            await tool.begun.get()
            clock.now_s += patience_s
            asking.cancel()
            await asyncio.wait([asking])
            assert service.metric("breaker_state", upstream="web") == opened_after


async def test_an_open_breaker_refuses_before_the_wait_for_a_slot() -> None:
    tool = Trial(annotations=CODE)
    async with opened(tool, slots=1, breaker={"calls": 1, "open_s": 30.0}) as service:
        failing = ask(service, Call("trial", {}, Group()))
        (await tool.begun.get()).fails(Transient("busy"))
        await failing
        holder = ask(service, Call("gate", {}, Group()))
        await service.gate.started.wait()
        assert (await ask(service, Call("trial", {}, Group()))).outcome == "refused"
        assert not holder.done()
        service.gate.opened.set()
        await holder


async def test_one_probe_at_a_time_finds_out_whether_it_is_well_again() -> None:
    tool, clock = Trial(annotations=CODE), Clock(100.0)
    service = built(clock, tool, breaker=BREAKER)
    async with asyncio.timeout(20), service.parts.executor.opened():

        def begin() -> asyncio.Task[Answer]:
            return ask(service, Call("trial", {}, Group()))

        for _ in range(2):
            asking = begin()
            (await tool.begun.get()).fails(Transient("busy"))
            await asking
        clock.now_s += 30.0
        assert service.metric("breaker_state", upstream="web") == 2
        probe = begin()
        run = await tool.begun.get()
        assert (await begin()).outcome == "refused"
        run.answers()
        assert (await probe).outcome == "ok"
        assert service.metric("breaker_state", upstream="web") == 0


@pytest.mark.parametrize("hints", [CODE, Trial().annotations])
async def test_calls_that_waited_for_a_slot_while_it_failed_are_refused_then(
    hints: Annotations,
) -> None:
    tool = Trial(annotations=hints)
    breaker = {"calls": 1, "open_s": 30.0}
    async with opened(tool, slots=1, breaker=breaker, retry={"attempts": 1}) as service:
        asking = [ask(service, Call("trial", {"n": n}, Group())) for n in range(3)]
        (await tool.begun.get()).fails(Transient("busy"))
        answers = await asyncio.gather(*asking)
        assert [answer.outcome for answer in answers] == ["error", "refused", "refused"]
        assert service.parts.executor.running == 0


async def test_a_retry_that_is_refused_leaves_the_failure_it_was_to_mend() -> None:
    tool = Trial()
    settings = {"breaker": {"calls": 1}, "retry": {"pause_s": 0.001}, "hedge": {"share": 0}}
    async with opened(tool, **settings) as service:
        asking = ask(service, Call("trial", {}, Group()))
        (await tool.begun.get()).fails(Transient("busy"))
        answer = await asking
        assert (answer.text, answer.outcome, answer.attempts) == ("error: busy", "error", 1)


async def test_an_upstreams_slots_bound_all_its_tools_and_nobody_elses() -> None:
    tools = [Trial(name=name, annotations=CODE) for name in ("trial", "other")]
    async with opened(*tools, slots=9, per_upstream={"web": {"slots": 2}}) as service:
        asking = [
            ask(service, Call(tool.name, {"n": n}, Group())) for tool in tools for n in range(3)
        ]
        await settled(*asking)
        assert sum(tool.begun.qsize() for tool in tools) == 2
        elsewhere = Call("act", {"text": "through"}, Group())
        assert (await ask(service, elsewhere)).text == "through"
        for _ in asking:
            tool = next(tool for tool in tools if tool.begun.qsize())
            (await tool.begun.get()).answers()
            await settled(*asking)
        await asyncio.gather(*asking)


async def test_a_limit_of_a_tool_inside_a_limit_of_its_upstream_stops_the_start() -> None:
    settings = {"per_tool": {"trial": {"slots": 1}}, "per_upstream": {"web": {"slots": 2}}}
    with pytest.raises(ConfigError, match="set one"):
        async with opened(Trial(), **settings):
            pass
