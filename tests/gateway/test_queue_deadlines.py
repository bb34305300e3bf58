"""Deadlines in the queue before the engines: who cannot be served in time hears it at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.admission import Queue
from gateway.errors import Overloaded
from tests.gateway.test_admission import queue, settle
from tests.parts.clock import Clock
from tests.parts.places import place


async def measured(clock: Clock, gap_s: float) -> Queue:
    """A queue of one place whose requests have ended so far apart."""
    door = queue(clock=clock)
    for _ in range(3):
        async with place(door):
            clock.now_s += gap_s
    assert door.gap_s == pytest.approx(gap_s)
    return door


@asynccontextmanager
async def waiting(door: Queue, deadline_s: float | None) -> AsyncGenerator[asyncio.Task[float]]:
    """One that asks for a place, and is cancelled when the block ends."""
    task = asyncio.create_task(door.enter(deadline_s))
    await settle()
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Overloaded):
            await task


async def refusal(door: Queue, deadline_s: float) -> Overloaded | None:
    """What one hears at once that has this deadline; None where it waits."""
    async with waiting(door, deadline_s) as task:
        error = task.exception() if task.done() else None
    assert error is None or isinstance(error, Overloaded)
    return error


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_who_would_wait_longer_than_its_client_is_refused_at_once(before: int) -> None:
    door = await measured(Clock(), gap_s=4.0)
    turn_s = 4.0 * (before + 1)
    async with place(door), asyncio.TaskGroup() as group:
        those = [group.create_task(door.enter(None)) for _ in range(before)]
        await settle()
        refused = await refusal(door, turn_s - 0.5)
        assert refused is not None
        assert (refused.status, refused.code) == (429, "deadline")
        assert "after its deadline" in str(refused)
        assert refused.headers["retry-after"] == str(int(turn_s))
        assert await refusal(door, turn_s + 0.5) is None
        assert door.depth == before
        for task in those:
            task.cancel()


async def test_a_deadline_that_is_long_enough_gets_its_place() -> None:
    door = await measured(Clock(), gap_s=4.0)
    async with asyncio.timeout(5):
        async with place(door):
            patient = asyncio.create_task(door.enter(4.5))
            await settle()
            assert (patient.done(), door.depth) == (False, 1)
        assert await patient == 0.0
    door.leave()


async def test_where_no_gap_is_measured_nobody_is_refused_by_it() -> None:
    door = queue()
    async with place(door):
        assert door.gap_s == 0.0
        assert await refusal(door, 3.0) is None


async def test_a_free_place_is_taken_however_short_the_deadline() -> None:
    door = await measured(Clock(), gap_s=4.0)
    assert await door.enter(0.5) == 0.0
    door.leave()


async def test_hours_without_a_request_say_nothing_of_how_long_one_waits() -> None:
    """An idle night was taken for the gap between two ends: all who had to wait next morning,
    and whose client told its timeout, were refused until many others had ended."""
    clock = Clock()
    door = await measured(clock, gap_s=0.5)
    clock.now_s += 8 * 3600.0
    async with place(door):
        clock.now_s += 0.5
    assert door.gap_s == pytest.approx(0.5)
    async with place(door):
        assert await refusal(door, 60.0) is None


async def test_hours_after_the_first_request_say_nothing_either() -> None:
    clock = Clock()
    door = queue(clock=clock)
    for _ in range(2):
        async with place(door):
            clock.now_s += 0.5
        clock.now_s += 3600.0
    async with place(door):
        assert await refusal(door, 60.0) is None
