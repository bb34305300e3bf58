"""Has runs played by several worker processes at a time."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from benchmarks.agents.runs import Job, Row

_LONGEST_LINE = 1 << 24


class RunFailed(Exception):
    """A worker has died; the message names the run, and the worker's own words stand before it."""


async def sweep(jobs: Sequence[Job], processes: int, done: Callable[[list[Row]], None]) -> None:
    """Play all runs; `done` hears of each as it ends.

    Raises:
        RunFailed: one of them died; the others are stopped.
    """
    left = deque(jobs)
    died: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(processes, len(left))):
                workers.create_task(_work(left, done))
    except* RunFailed as failed:
        died = failed.exceptions[0]
    if died is not None:
        raise died


async def _work(left: deque[Job], done: Callable[[list[Row]], None]) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.agents.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "1", **os.environ},
        limit=_LONGEST_LINE,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        while left:
            job = left.popleft()
            worker.stdin.write(msgspec.json.encode(job) + b"\n")
            await worker.stdin.drain()
            if not (line := await worker.stdout.readline()):
                loads = ", ".join(f"{load:g}" for load in job.loads)
                raise RunFailed(f"the run of {job.policy!r} at {loads}, seed {job.seed}, failed")
            done(msgspec.json.decode(line, type=list[Row]))
        worker.stdin.close()
        await worker.wait()
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
