"""What is told of the event loop."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from telemetry.event_loop import NAME, STEP_S, WINDOW_S, LoopLag
from tests.parts.clock import Clock


async def after(*lates: float) -> tuple[Clock, CollectorRegistry]:
    """A clock and a registry after steps that took so much longer than they should."""
    clock, registry = Clock(), CollectorRegistry()
    steps, taken = iter(lates), asyncio.Event()

    async def sleep(seconds: float) -> None:
        late_s = next(steps, None)
        if late_s is None:
            taken.set()
            await asyncio.Event().wait()
        else:
            clock.now_s += seconds + late_s

    lag = LoopLag(clock, sleep)
    registry.register(lag)
    async with lag.running():
        await taken.wait()
    return clock, registry


async def test_the_worst_step_of_the_window_is_told() -> None:
    _, registry = await after(0.01, 0.5, 0.02)
    assert registry.get_sample_value(NAME) == pytest.approx(0.5)


async def test_what_is_older_than_the_window_is_forgotten_and_the_next_worst_is_told() -> None:
    steps = int(WINDOW_S / STEP_S)
    _, registry = await after(0.5, 0.25, *[0.0] * (steps - 8))
    assert registry.get_sample_value(NAME) == pytest.approx(0.5)
    _, registry = await after(0.5, *[0.0] * (steps - 8), 0.25, *[0.0] * 8)
    assert registry.get_sample_value(NAME) == pytest.approx(0.25)


async def test_a_loop_that_is_late_just_now_is_told_before_its_sleeper_wakes() -> None:
    clock, registry = await after(0.01)
    clock.now_s += STEP_S + 2
    assert (registry.get_sample_value(NAME) or 0) > 1.9


async def test_a_loop_that_is_in_time_is_not_late() -> None:
    _, registry = await after(0.0, -0.001)
    assert registry.get_sample_value(NAME) == pytest.approx(0)


async def test_a_real_loop_is_late_when_something_blocks_it() -> None:
    lag = LoopLag(time.monotonic)
    async with lag.running():
        await asyncio.sleep(0)  # the watch begins
        until_s = time.monotonic() + 3 * STEP_S
        while time.monotonic() < until_s:
            pass
        assert lag.worst_s() >= 1.5 * STEP_S
