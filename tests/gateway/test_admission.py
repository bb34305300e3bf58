"""The bounded queue before the engines."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Queue
from gateway.config import QueueConfig
from gateway.errors import Overloaded, Stopping
from tests.parts.clock import Clock
from tests.parts.places import place

NEVER_S = 3600.0
AT_ONCE_S = 1e-9


def queue(
    running: int = 1, waiting: int = 10, wait_s: float = NEVER_S, clock: Clock | None = None
) -> Queue:
    config = QueueConfig(running=running, waiting=waiting, wait_s=wait_s)
    return Queue(config, clock or Clock())


async def settle() -> None:
    """Let every task run until it waits for something that has not happened."""
    for _ in range(5):
        await asyncio.sleep(0)


@dataclass
class Visitor:
    """A request that holds its place until told to go."""

    queue: Queue
    go: asyncio.Event = field(default_factory=asyncio.Event)
    inside: bool = False
    waited_s: float | None = None
    refused: Overloaded | Stopping | None = None

    async def visit(self) -> None:
        try:
            async with place(self.queue) as self.waited_s:
                self.inside = True
                try:
                    await self.go.wait()
                finally:
                    self.inside = False
        except (Overloaded, Stopping) as error:
            self.refused = error


async def one_too_many(door: Queue) -> Overloaded:
    """What the third hears where one may run and one may wait."""
    async with asyncio.TaskGroup() as group:
        visitors = [Visitor(door) for _ in range(3)]
        for visitor in visitors:
            group.create_task(visitor.visit())
        await settle()
        for visitor in visitors:
            visitor.go.set()
    *served, last = (visitor.refused for visitor in visitors)
    assert served == [None, None]
    assert isinstance(last, Overloaded)
    return last


async def test_a_free_place_is_taken_at_once() -> None:
    door = queue()
    async with place(door) as waited_s:
        assert (door.running, door.depth, waited_s) == (1, 0, 0.0)
    assert door.running == 0


async def test_the_wait_is_told_and_the_oldest_is_shown() -> None:
    clock = Clock()
    door = queue(clock=clock)
    async with asyncio.TaskGroup() as group:
        first, second = Visitor(door), Visitor(door)
        group.create_task(first.visit())
        group.create_task(second.visit())
        await settle()
        clock.now_s = 7.0
        assert (door.depth, door.oldest_s) == (1, 7.0)
        first.go.set()
        await settle()
        assert (second.inside, second.waited_s, door.oldest_s) == (True, 7.0, 0.0)
        second.go.set()


async def test_who_comes_first_is_served_first() -> None:
    door = queue()
    async with asyncio.TaskGroup() as group:
        visitors = [Visitor(door) for _ in range(5)]
        for visitor in visitors:
            group.create_task(visitor.visit())
        for index, visitor in enumerate(visitors):
            await settle()
            assert [v.inside for v in visitors] == [i == index for i in range(5)]
            visitor.go.set()


async def test_one_too_many_is_refused_and_told_when_to_come_again() -> None:
    refused = await one_too_many(queue(waiting=1))
    assert (refused.status, refused.code) == (429, "queue_full")
    assert 1 <= int(refused.headers["retry-after"]) <= 59


async def test_without_room_to_wait_a_full_gateway_refuses() -> None:
    door = queue(waiting=0)
    async with place(door):
        with pytest.raises(Overloaded):
            async with place(door):
                raise AssertionError("let in")
    async with place(door):
        assert door.running == 1


async def test_who_has_waited_too_long_is_refused() -> None:
    door = queue(wait_s=AT_ONCE_S)
    async with place(door):
        async with asyncio.timeout(5):
            with pytest.raises(Overloaded, match="has waited") as caught:
                async with place(door):
                    raise AssertionError("let in")
        assert (caught.value.code, door.depth, door.running) == ("queue_timeout", 0, 1)


@pytest.mark.parametrize(("gap_s", "told_s"), [(0.001, 1), (2.5, 5), (1000.0, 59)])
async def test_the_time_to_come_again_follows_the_measured_rate(gap_s: float, told_s: int) -> None:
    clock = Clock()
    door = queue(waiting=1, clock=clock)
    for _ in range(3):
        async with place(door):
            clock.now_s += gap_s
    refused = await one_too_many(door)
    assert refused.headers["retry-after"] == str(told_s)


async def test_a_cancelled_waiter_frees_its_room() -> None:
    door = queue(waiting=1)
    async with place(door):
        waiter = asyncio.create_task(Visitor(door).visit())
        await settle()
        waiter.cancel()
        await asyncio.wait([waiter])
        assert door.depth == 0
    assert door.running == 0


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_waiter_cancelled_in_the_moment_of_its_admission_gives_the_place_on(
    cancelled_first: bool,
) -> None:
    door = queue()
    async with asyncio.TaskGroup() as group:
        async with AsyncExitStack() as held:
            await held.enter_async_context(place(door))
            unlucky = asyncio.create_task(Visitor(door).visit())
            heir = Visitor(door)
            group.create_task(heir.visit())
            await settle()
            if cancelled_first:
                unlucky.cancel()
            await held.aclose()
            if not cancelled_first:
                unlucky.cancel()
        await settle()
        assert unlucky.cancelled()
        assert (heir.inside, door.running, door.depth) == (True, 1, 0)
        heir.go.set()
    assert door.running == 0


async def test_a_place_is_given_back_when_its_holder_fails() -> None:
    door = queue()
    with pytest.raises(RuntimeError):
        async with place(door):
            raise RuntimeError
    assert door.running == 0


async def test_closing_refuses_newcomers_and_waiters_and_lets_the_running_end() -> None:
    door = queue()
    async with asyncio.TaskGroup() as group:
        running, waiter = Visitor(door), Visitor(door)
        group.create_task(running.visit())
        group.create_task(waiter.visit())
        await settle()
        closing = group.create_task(door.close(5))
        await settle()
        assert isinstance(waiter.refused, Stopping)
        assert running.inside and not closing.done()
        with pytest.raises(Stopping) as caught:
            async with place(door):
                raise AssertionError("let in")
        assert caught.value.headers["retry-after"] == "1"
        running.go.set()
    assert closing.result() is True


async def test_closing_tells_when_the_running_did_not_end_in_time() -> None:
    door = queue()
    async with place(door):
        assert await door.close(AT_ONCE_S) is False
    assert await door.close(AT_ONCE_S) is True


async def test_closing_an_idle_queue_takes_no_time() -> None:
    assert await queue().close(0.0) is True


steps = st.lists(st.sampled_from(["come", "go", "cancel", "cancel_and_go", "tick"]), max_size=40)


@given(steps, st.integers(1, 3), st.integers(0, 3))
def test_whatever_happens_no_bound_is_broken_and_no_place_is_lost(
    story: list[str], running: int, waiting: int
) -> None:
    asyncio.run(World(queue(running, waiting), (running, waiting)).play(story))


@dataclass
class World:
    """A queue and what the test knows about it."""

    queue: Queue
    bounds: tuple[int, int]
    tasks: dict[asyncio.Task[None], Visitor] = field(default_factory=dict)

    async def play(self, story: list[str]) -> None:
        for act in story:
            self.act(act)
            if act != "tick":
                self.check()
            await settle()
            self.check()
        for visitor in self.tasks.values():
            visitor.go.set()
        async with asyncio.timeout(5):
            await asyncio.gather(*self.tasks, return_exceptions=True)
            assert await self.queue.close(5)
        assert (self.queue.running, self.queue.depth) == (0, 0)

    def act(self, act: str) -> None:
        inside = [visitor for visitor in self.tasks.values() if visitor.inside]
        open_tasks = [task for task in self.tasks if not task.done()]
        if act == "come":
            visitor = Visitor(self.queue)
            self.tasks[asyncio.ensure_future(visitor.visit())] = visitor
        if act in ("go", "cancel_and_go") and inside:
            inside[0].go.set()
        if act in ("cancel", "cancel_and_go") and open_tasks:
            open_tasks[-1].cancel()

    def check(self) -> None:
        running, waiting = self.bounds
        assert sum(visitor.inside for visitor in self.tasks.values()) <= self.queue.running
        assert self.queue.running <= running
        assert self.queue.depth <= waiting
        # Whoever waits, waits because every place is taken.
        assert self.queue.depth == 0 or self.queue.running == running
        for visitor in self.tasks.values():
            if visitor.refused is not None:
                assert 1 <= int(visitor.refused.headers["retry-after"]) <= 59
