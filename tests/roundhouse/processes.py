"""Real processes whose output is read as it comes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BOUND_S = 60.0  # only so that a hanging test ends


class Running:
    """A process whose output is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def until(self, text: str) -> str:
        """Read until the text has been said; fails when the process ends without it."""
        async with asyncio.timeout(BOUND_S):
            while text not in self.output:
                assert self.process.stdout
                chunk = await self.process.stdout.read(4096)
                assert chunk, f"ended without saying {text!r}:\n{self.output}"
                self.output += chunk.decode(errors="replace")
        return self.output

    async def end(self) -> int:
        """Read to the end; the exit code."""
        async with asyncio.timeout(BOUND_S):
            assert self.process.stdout
            self.output += (await self.process.stdout.read()).decode(errors="replace")
            return await self.process.wait()


class Start(Protocol):
    """Starts a process that is gone after the test."""

    async def __call__(self, *args: str, **env: str) -> Running: ...


class StartGateway(Protocol):
    """Starts a stand-in for the gateway; gives its address."""

    async def __call__(self, *behaviours: str) -> str: ...


@asynccontextmanager
async def started(*argv: str, **env: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)} | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        end_family(process.pid)
        await running.end()


def end_family(pid: int) -> None:
    """End the process and all below it, in whatever session they are."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for one in [*first.children(recursive=True), first]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
