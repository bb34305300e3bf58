"""Who goes first in the queue before the engines, and whose end tells its rate."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Queue, Rank
from gateway.errors import Overloaded
from tests.gateway.test_admission import queue, settle
from tests.gateway.test_shares import file
from tests.parts.clock import Clock
from tests.parts.engine import ScriptedEngine
from tests.parts.places import place
from tests.parts.scripts import text, turn
from tests.parts.served import Answer, served

HELLO = turn(text("Hel", "lo"))


async def let_in(door: Queue, ranks: list[Rank]) -> list[int]:
    """The order in which those get the only place that came while it was held."""
    order: list[int] = []

    async def visit(number: int, rank: Rank) -> None:
        async with place(door, rank=rank):
            order.append(number)

    async with asyncio.TaskGroup() as group, place(door):
        for number, rank in enumerate(ranks):
            group.create_task(visit(number, rank))
            await settle()
        assert order == []
    return order


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 1)), max_size=8))
def test_a_lower_rank_goes_first_and_of_one_rank_who_came_first(ranks: list[Rank]) -> None:
    order = asyncio.run(let_in(queue(), ranks))
    assert order == sorted(range(len(ranks)), key=lambda number: ranks[number])


async def test_only_who_goes_before_counts_against_a_deadline() -> None:
    clock = Clock()
    door = queue(clock=clock)
    async with place(door):
        clock.now_s += 10.0
    async with asyncio.TaskGroup() as group, place(door):
        low = [group.create_task(door.enter(None, (2, 0))) for _ in range(3)]
        await settle()
        high = group.create_task(door.enter(15.0, (0, 0)))
        await settle()
        assert not high.done(), "its turn comes in ten seconds"
        with pytest.raises(Overloaded, match="after its deadline"):
            await door.enter(15.0, (2, 0))
        for task in (*low, high):
            task.cancel()


async def test_the_end_of_what_was_not_served_does_not_tell_the_rate() -> None:
    clock = Clock()
    door = queue(running=2, clock=clock)
    async with place(door):
        clock.now_s += 10.0
        for _ in range(50):
            await door.enter(None)
            door.leave(is_served=False)
    assert door.gap_s == 10.0


async def test_the_oldest_is_the_one_that_waits_longest_whatever_its_rank() -> None:
    clock = Clock()
    door = queue(clock=clock)
    async with asyncio.TaskGroup() as group, place(door):
        first = group.create_task(door.enter(None, (2, 0)))
        await settle()
        clock.now_s += 5.0
        second = group.create_task(door.enter(None, (0, 0)))
        await settle()
        clock.now_s += 1.0
        assert door.oldest_s == 6.0
        first.cancel()
        second.cancel()


async def test_a_request_of_a_higher_tier_overtakes_where_no_cache_is_known(tmp_path: Path) -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO], HELLO)
    keys = file(tmp_path, one="service_tier: priority")
    async with served(engine, queue={"running": 1}, keys_file=keys) as it, asyncio.timeout(10):

        async def ask(seed: int, tier: str) -> Answer:
            body = {"messages": [{"role": "user", "content": "hi"}], "seed": seed}
            asked = {**body, "service_tier": tier}
            return await it.ask("POST", "/v1/chat/completions", asked, authorization="Bearer one")

        tiers = ["default", "flex", "default", "priority"]
        async with asyncio.TaskGroup() as group:
            for seed, tier in enumerate(tiers):
                group.create_task(ask(seed, tier))
                await engine.asked.wait()
                while it.metric("queue_depth") != seed:
                    await it.ask("GET", "/livez")
            gate.set()
    assert [called.body["seed"] for called in engine.calls] == [0, 3, 2, 1]
