"""The gate before each engine, with real tasks and a clock of the test's own."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import pytest

from gateway.admission import Queue
from gateway.config import QueueConfig
from gateway.errors import Overloaded, Stopping
from gateway.gate import Gate, Pass, Wants
from gateway.program import Rule, Used
from tests.gateway.test_admission import settle
from tests.parts.clock import Clock
from tests.parts.places import place

POOL = 10_000


def gate(most_waiting: int = 10, **rules: float) -> Gate:
    queue = Queue(QueueConfig(), Clock())
    return Gate(Rule(**rules), queue, most_waiting=most_waiting, clock=Clock())


def wants(key: str, tokens: int, **fields: float | None) -> Wants:
    return Wants(key, "tenant", 0.0, size=tokens * 4, **fields)  # type: ignore[arg-type]


@dataclass
class Agent:
    """A request that holds its turn until told to go."""

    gate: Gate
    wants: Wants
    go: asyncio.Event = field(default_factory=asyncio.Event)
    held: Pass | None = None
    refused: Exception | None = None

    async def run(self) -> None:
        try:
            async with self.gate.turn("engine", POOL, self.wants) as self.held:
                await self.go.wait()
                self.held.used = Used(self.wants.size // 4, 0, 0)
        except (Overloaded, Stopping) as error:
            self.refused = error


async def test_a_program_waits_until_another_has_ended() -> None:
    door = gate()
    first, second = (Agent(door, wants(name, 6000)) for name in "ab")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first.run())
        tasks.create_task(second.run())
        await settle()
        assert first.held is not None and second.held is None
        first.go.set()
        await settle()
        assert second.held is None  # the first one's context still stands in the cache
        door.forget("a")
        await settle()
        assert second.held is not None
        second.go.set()


async def test_the_next_turn_of_an_admitted_program_goes_at_once() -> None:
    door = gate()
    async with door.turn("engine", POOL, wants("a", 6000)) as held:
        held.used = Used(6000, 10, 0)
    async with AsyncExitStack() as stack:
        waiting = Agent(door, wants("b", 6000))
        task = await stack.enter_async_context(cancelled(waiting))
        async with door.turn("engine", POOL, wants("a", 6100)):
            assert waiting.held is None and not task.done()


async def test_while_its_tools_run_a_program_may_be_set_aside_and_then_waits_to_go_on() -> None:
    door = gate(patience=0.0)
    async with door.turn("engine", POOL, wants("a", 6000)) as first:
        door.expect("engine", "a", (50.0, 60.0))
        first.used = Used(6000, 0, 0)
    async with door.turn("engine", POOL, wants("b", 6000)):
        assert door.sets()["engine"].set_aside == 1
        again = Agent(door, wants("a", 6000))
        async with cancelled(again):
            assert again.held is None


async def test_a_request_that_goes_away_while_it_waits_leaves_no_trace() -> None:
    door = gate()
    async with door.turn("engine", POOL, wants("a", 6000)):
        async with cancelled(Agent(door, wants("b", 6000))):
            assert door.sets()["engine"].waiting == 1
        assert door.sets()["engine"].waiting == 0


async def test_a_turn_granted_to_one_that_goes_away_is_not_lost() -> None:
    door = gate()
    async with door.turn("engine", POOL, wants("a", 6000)) as held:
        held.used = Used(6000, 0, 0)
        gone = Agent(door, wants("b", 6000))
        task = asyncio.create_task(gone.run())
        await settle()
    door.forget("a")
    task.cancel()  # granted, and cancelled before it woke
    with suppress(asyncio.CancelledError):
        await task
    door.forget("b")
    async with door.turn("engine", POOL, wants("c", 9000)):
        assert door.sets()["engine"].admitted == 1


async def test_too_many_waiting_programs_are_refused_with_a_time_to_come_again() -> None:
    door = gate(most_waiting=1)
    async with (
        door.turn("engine", POOL, wants("a", 6000)),
        cancelled(Agent(door, wants("b", 6000))),
    ):
        with pytest.raises(Overloaded, match="wait already") as refused:
            async with door.turn("engine", POOL, wants("c", 6000)):
                pass
    assert 1 <= int(refused.value.headers["retry-after"]) <= 59


async def test_a_deadline_that_passes_while_waiting_is_a_refusal() -> None:
    door = gate()
    async with door.turn("engine", POOL, wants("a", 6000)):
        with pytest.raises(Overloaded, match="time was up"):
            async with door.turn("engine", POOL, wants("b", 6000, deadline_s=0.01)):
                pass
        assert door.sets()["engine"].waiting == 0


@pytest.mark.parametrize(("deadline_s", "code"), [(None, "queue_timeout"), (0.005, "deadline")])
async def test_a_turn_that_has_waited_as_long_as_it_may_is_refused(
    deadline_s: float | None, code: str
) -> None:
    queue = Queue(QueueConfig(), Clock())
    door = Gate(Rule(), queue, most_waiting=10, wait_s=0.01, clock=Clock())
    async with door.turn("engine", POOL, wants("a", 6000)):
        with pytest.raises(Overloaded) as refused:
            async with door.turn("engine", POOL, wants("b", 6000, deadline_s=deadline_s)):
                pass
        assert refused.value.code == code
        assert door.sets()["engine"].waiting == 0


async def measured(gap_s: float) -> Gate:
    """A gate behind which requests have ended so far apart."""
    clock = Clock()
    queue = Queue(QueueConfig(), clock)
    for _ in range(3):
        async with place(queue):
            clock.now_s += gap_s
    return Gate(Rule(), queue, most_waiting=10, clock=clock)


async def test_who_would_wait_longer_than_its_client_is_refused_at_once() -> None:
    door = await measured(gap_s=10.0)
    patient = Agent(door, wants("b", 6000, deadline_s=10.5))
    async with door.turn("engine", POOL, wants("a", 6000)), cancelled(patient):
        assert door.sets()["engine"].waiting == 1, "its turn comes in ten seconds"
        behind = Agent(door, wants("c", 6000, deadline_s=19.5))
        async with cancelled(behind):
            assert isinstance(behind.refused, Overloaded), "its turn would come in twenty"
            assert (behind.refused.status, behind.refused.code) == (429, "deadline")
            assert "after its deadline" in str(behind.refused)
            assert behind.refused.headers["retry-after"] == "20"
        assert door.sets()["engine"].waiting == 1
        async with cancelled(Agent(door, wants("d", 6000, deadline_s=20.5))):
            assert door.sets()["engine"].waiting == 2


async def test_who_need_not_wait_is_let_in_however_short_its_deadline() -> None:
    door = await measured(gap_s=10.0)
    async with (
        door.turn("engine", POOL, wants("a", 6000)),
        door.turn("engine", POOL, wants("b", 100, deadline_s=9.5)) as held,
    ):
        assert held.waited_s == 0.0


async def test_closing_sends_away_all_that_wait() -> None:
    door = gate()
    async with door.turn("engine", POOL, wants("a", 6000)):
        waiting = Agent(door, wants("b", 6000))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waiting.run())
            await settle()
            door.close()
        assert isinstance(waiting.refused, Stopping)
        with pytest.raises(Stopping):
            async with door.turn("engine", POOL, wants("c", 10)):
                pass


async def test_a_refusal_tells_the_time_for_all_programs_that_wait() -> None:
    door = gate(most_waiting=3)
    async with AsyncExitStack() as stack, door.turn("engine", POOL, wants("a", 6000)):
        for name in "bcd":
            await stack.enter_async_context(cancelled(Agent(door, wants(name, 6000))))
        last = Agent(door, wants("e", 6000))
        await last.run()
        assert isinstance(last.refused, Overloaded)
        assert last.refused.code == "queue_full"
        assert last.refused.headers["retry-after"] == "4"  # at a turn a second, nothing measured


async def test_an_engine_of_unknown_size_lets_everybody_in() -> None:
    door = gate()
    async with AsyncExitStack() as stack:
        for name in "abc":
            await stack.enter_async_context(door.turn("remote", 0, wants(name, 10**9)))


async def test_the_length_of_prompts_is_learned_from_their_bytes() -> None:
    door = gate()
    for number in range(200):
        async with door.turn("engine", POOL, Wants(f"{number}", "t", 0.0, size=8000)) as held:
            held.used = Used(1000, 0, 0)
        door.forget(f"{number}")
    async with door.turn("engine", POOL, Wants("last", "t", 0.0, size=8000)) as held:
        assert 950 < held.program.tokens < 1100


class cancelled:  # reads as a statement
    """The agent waits while the block runs, and is cancelled then."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def __aenter__(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._agent.run())
        await settle()
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
