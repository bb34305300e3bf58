"""Where tasks are kept: bounded, until they expire, for their caller."""

import asyncio
from dataclasses import replace

import pytest
from mcp_types import CallToolResult

from tests.parts.clock import Clock
from tools_service.config import TasksConfig
from tools_service.ears import Ears
from tools_service.errors import Draining, TooManyTasks, UnknownTask
from tools_service.task_store import MemoryStore, Task
from tools_service.tasks import Tasks
from tools_service.tools.asks import NOTHING, Inputs


def task(id: str, owner: str = "one", ttl_s: float = 100.0) -> Task:
    return Task(id, owner, created=0.0, updated=0.0, ttl_s=ttl_s)


async def test_a_task_can_be_found_for_its_whole_life_and_not_after() -> None:
    clock = Clock()
    store = MemoryStore(most=9, per_caller=9, clock=clock)
    await store.add(replace(task("a"), status="completed"))
    clock.now_s = 99.9
    assert (await store.find("one", "a")).id == "a"
    clock.now_s = 100.0
    with pytest.raises(UnknownTask):
        await store.find("one", "a")
    assert len(store) == 0


async def test_the_end_of_a_task_can_be_seen_however_late_it_came() -> None:
    clock = Clock(200.0)
    store = MemoryStore(most=9, per_caller=9, clock=clock)
    await store.add(task("a"))
    assert (await store.find("one", "a")).status == "working"
    await store.save(replace(task("a"), status="failed", updated=200.0))
    clock.now_s = 259.0
    assert (await store.find("one", "a")).status == "failed"


async def test_only_time_makes_room() -> None:
    clock = Clock()
    store = MemoryStore(most=3, per_caller=2, clock=clock)
    for id in ("a", "b"):
        await store.add(replace(task(id), status="completed"))
    with pytest.raises(TooManyTasks):
        await store.add(task("c"))
    await store.add(task("d", "two"))
    with pytest.raises(TooManyTasks):
        await store.add(task("e", "three"))
    clock.now_s = 100.0
    await store.add(task("c"))
    await store.add(task("e", "three"))


async def test_a_task_cut_off_before_it_ran_ends_all_the_same() -> None:
    """asyncio drops a task that is cancelled before its first step, and its status would stay."""
    ran: list[Inputs] = []

    async def leg(inputs: Inputs, ears: Ears) -> CallToolResult:
        ran.append(inputs)
        return CallToolResult(content=[])

    tasks = Tasks(TasksConfig(), MemoryStore(most=1, per_caller=1))
    async with asyncio.timeout(10), tasks.running():
        begun = await tasks.begin("one", leg, NOTHING)
        await tasks.cancel("one", begun.id)
        states = [state.status async for state in tasks.watch("one", [begun.id])]
    assert (states, ran) == (["working", "cancelled"], [])
    with pytest.raises(Draining):
        await tasks.begin("one", leg, NOTHING)


async def test_ids_cannot_be_guessed() -> None:
    async def leg(inputs: Inputs, ears: Ears) -> CallToolResult:
        return CallToolResult(content=[])

    tasks = Tasks(TasksConfig(), MemoryStore(most=99, per_caller=99))
    async with tasks.running():
        ids = {(await tasks.begin("one", leg, NOTHING)).id for _ in range(20)}
    assert len(ids) == 20
    assert min(map(len, ids)) >= 32
