"""Slots and the calls that wait for one."""

import asyncio
from collections.abc import Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools_service.errors import DeadlineUnmet, QueueFull
from tools_service.policy import Entry, Group, fifo
from tools_service.queue import Queue
from tools_service.schedule import Schedule


def entry(tool: str = "a", deadline_s: float | None = None) -> Entry:
    return Entry(tool, 0.0, 1.0, Group(deadline_s=deadline_s))


def queue(slots: int, waiting: int = 100, **per_tool: int) -> Queue:
    return Queue(Schedule(slots=slots, per_tool=per_tool, policy=fifo), waiting=waiting)


async def settle(*tasks: asyncio.Task[None]) -> None:
    """Lets every task run until it waits for something that has not happened."""
    for _ in range(3):
        await asyncio.wait(tasks, timeout=0)


async def test_a_free_slot_is_taken_at_once() -> None:
    slots = queue(1)
    await slots.enter(entry())
    assert (slots.running, slots.waiting) == (1, 0)


async def test_waiters_are_served_in_the_order_of_arrival() -> None:
    slots, order = queue(1), list[int]()
    holder = entry()
    await slots.enter(holder)

    async def take(number: int) -> None:
        mine = entry()
        await slots.enter(mine)
        order.append(number)
        slots.leave(mine)

    tasks = [asyncio.create_task(take(number)) for number in range(5)]
    await settle(*tasks)
    assert slots.waiting == 5
    slots.leave(holder)
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]


async def test_a_capped_tool_does_not_hold_up_the_others() -> None:
    slots = queue(4, a=1)
    await slots.enter(entry("a"))
    second = asyncio.create_task(slots.enter(entry("a")))
    await settle(second)
    await slots.enter(entry("b"))
    assert (slots.running, slots.waiting) == (2, 1)
    second.cancel()
    await asyncio.wait([second])


async def test_a_full_queue_refuses() -> None:
    slots = queue(1, waiting=1)
    await slots.enter(entry())
    waiter = asyncio.create_task(slots.enter(entry()))
    await settle(waiter)
    with pytest.raises(QueueFull):
        await slots.enter(entry())
    assert slots.waiting == 1
    waiter.cancel()
    await asyncio.wait([waiter])


async def test_a_deadline_that_cannot_be_met_is_refused_with_the_predicted_wait() -> None:
    slots = queue(1)
    holder = entry()
    await slots.enter(holder)
    patient = asyncio.create_task(slots.enter(entry(deadline_s=1.5)))
    await settle(patient)
    with pytest.raises(DeadlineUnmet, match=r"about 2\.0 s, longer than the 1\.5 s left") as caught:
        await slots.enter(entry(deadline_s=1.5))
    assert caught.value.wait_s == 2.0
    assert slots.waiting == 1
    slots.leave(holder)
    async with asyncio.timeout(5):
        await patient


async def test_a_cancelled_waiter_frees_its_place() -> None:
    slots = queue(1, waiting=1)
    holder = entry()
    await slots.enter(holder)
    waiter = asyncio.create_task(slots.enter(entry()))
    await settle(waiter)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert slots.waiting == 0
    slots.leave(holder)
    assert slots.running == 0


async def test_a_waiter_cancelled_in_the_moment_of_its_grant_gives_the_slot_on() -> None:
    slots = queue(1)
    holder = entry()
    await slots.enter(holder)
    unlucky = asyncio.create_task(slots.enter(entry()))
    next_one = asyncio.create_task(slots.enter(entry()))
    await settle(unlucky, next_one)
    slots.leave(holder)
    unlucky.cancel()
    async with asyncio.timeout(5):
        await next_one
    assert unlucky.cancelled()
    assert (slots.running, slots.waiting) == (1, 0)


async def test_a_slot_freed_while_a_waiter_is_being_cancelled_goes_to_the_next() -> None:
    slots = queue(1)
    holder = entry()
    await slots.enter(holder)
    unlucky = asyncio.create_task(slots.enter(entry()))
    next_one = asyncio.create_task(slots.enter(entry()))
    await settle(unlucky, next_one)
    unlucky.cancel()
    slots.leave(holder)
    async with asyncio.timeout(5):
        await next_one
    await asyncio.wait([unlucky])
    assert (slots.running, slots.waiting) == (1, 0)


async def test_a_slot_is_seized_only_where_nobody_is_kept_waiting_for_it() -> None:
    slots = queue(2, a=1)
    first, second, third = entry("a"), entry("b"), entry("b")
    assert slots.seize(first)
    waiter = asyncio.create_task(slots.enter(entry("a")))
    await settle(waiter)
    assert not slots.seize(entry("a"))
    assert slots.seize(second)
    assert not slots.seize(third)
    assert (slots.running, slots.waiting) == (2, 1)
    slots.leave(first)
    async with asyncio.timeout(5):
        await waiter


steps = st.lists(
    st.tuples(st.sampled_from(["enter", "seize", "leave", "cancel"]), st.sampled_from("abc")),
    max_size=60,
)


@settings(deadline=None)
@given(steps, st.integers(1, 3), st.integers(0, 4), st.integers(1, 2))
def test_whatever_happens_no_bound_is_broken_and_no_slot_is_lost(
    story: list[tuple[str, str]], slots: int, waiting: int, cap: int
) -> None:
    asyncio.run(_play(World(slots, waiting, cap), story))


class World:
    """The queue and what the test knows about it."""

    def __init__(self, slots: int, waiting: int, cap: int) -> None:
        self.bounds = (slots, waiting, cap)
        self.queue = queue(slots, waiting, a=cap)
        self.inside: list[Entry] = []
        self.waiters: list[asyncio.Task[None]] = []

    async def enter(self, tool: str) -> None:
        mine = entry(tool)
        try:
            await self.queue.enter(mine)
        except QueueFull:
            return
        self.inside.append(mine)

    def check(self) -> None:
        slots, waiting, cap = self.bounds
        assert self.queue.running == len(self.inside) <= slots
        assert self.queue.waiting <= waiting
        assert sum(held.tool == "a" for held in self.inside) <= cap


def spawn(work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    return asyncio.ensure_future(work)


async def _play(world: World, story: list[tuple[str, str]]) -> None:
    for act, tool in story:
        if act == "enter":
            world.waiters.append(spawn(world.enter(tool)))
        elif act == "seize":
            if world.queue.seize(mine := entry(tool)):
                world.inside.append(mine)
        elif act == "leave" and world.inside:
            world.queue.leave(world.inside.pop(0))
        elif act == "cancel" and world.waiters:
            world.waiters.pop().cancel()
        if world.waiters:
            await settle(*world.waiters)
        await asyncio.sleep(0)
        world.check()
    while world.inside:
        world.queue.leave(world.inside.pop())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert world.queue.waiting == 0
