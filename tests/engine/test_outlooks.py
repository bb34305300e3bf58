"""Outlooks on their way to an engine's core."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from engine.outlook import Outlook
from engine.vllm.outlooks import Outlooks


class Core:
    """Takes batches when the test lets it; what it answers is heard."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.batches: list[list[Outlook]] = []
        self.free = asyncio.Event()
        self.asked = asyncio.Event()
        self.error: Exception | None = None

    async def utility(self, name: str, batch: list[Outlook]) -> int:
        assert name == "agent_expect"
        if not batch:
            return 0
        self.batches.append(batch)
        self.asked.set()
        await self.free.wait()
        if self.error is not None:
            raise self.error
        return len(self.batches)

    async def batch(self) -> list[Outlook]:
        """The next one."""
        async with asyncio.timeout(5):
            await self.asked.wait()
        self.asked.clear()
        return self.batches[-1]


@asynccontextmanager
async def sending(outlooks: Outlooks, core: Core) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(outlooks.send(core.utility))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_comes_while_a_batch_is_with_the_core_goes_with_the_next() -> None:
    core = Core()
    outlooks = Outlooks("zero", core.heard.append)
    async with sending(outlooks, core):
        outlooks.take(Outlook("a", "away"))
        assert await core.batch() == [Outlook("a", "away")]
        for outlook in (Outlook("b", "away"), Outlook("a", "coming"), Outlook("b", "done")):
            outlooks.take(outlook)
        assert len(core.batches) == 1
        core.free.set()
        assert await core.batch() == [Outlook("a", "coming"), Outlook("b", "done")]
        assert core.heard[:2] == [0, 1]  # before anything was known, and with the first batch


async def test_of_too_many_sessions_those_told_of_longest_ago_are_dropped() -> None:
    core = Core()
    outlooks = Outlooks("zero", core.heard.append)
    for number in range(9000):
        outlooks.take(Outlook(f"{number}", "away"))
    core.free.set()
    async with sending(outlooks, core):
        while sum(map(len, core.batches)) < 8192:
            await core.batch()
    assert core.batches[0][0].session == f"{9000 - 8192}"
    assert max(map(len, core.batches)) == 1024


@pytest.mark.parametrize("error", [EngineDeadError(), ValueError("no such utility")])
async def test_a_core_that_is_gone_or_takes_none_ends_the_sending_without_an_error(
    error: Exception,
) -> None:
    core = Core()
    outlooks = Outlooks("zero", core.heard.append)
    core.error = error
    core.free.set()
    async with sending(outlooks, core) as task, asyncio.timeout(5):
        outlooks.take(Outlook("a", "away"))
        await task
        outlooks.take(Outlook("b", "away"))  # nobody will send it, and nobody minds
    assert len(core.batches) == 1
