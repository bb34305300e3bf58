"""Code in pydantic-monty: an interpreter that has no files, sockets or processes to give away.

Its synchronous pool in threads of ours: the asynchronous one can abort the whole process when the
interpreter ends. Each run has a worker process to itself, so a crash ends nothing else.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from threading import Lock

import pydantic_monty

from tools_service.errors import ConfigError
from tools_service.python_config import PythonConfig
from tools_service.tools.python.cell import VALUE, Cell
from tools_service.tools.python.engine import Ran, crashed, ended, too_long, too_much


class Monty:
    """Runs at most `workers` cells at once; another one waits."""

    about = (
        "It is a subset of Python: functions, comprehensions, simple classes and the modules "
        "math, re, json, datetime, collections, random and a few more; no files, no network, "
        "no third-party packages."
    )

    def __init__(
        self, pool: pydantic_monty.Monty, threads: ThreadPoolExecutor, config: PythonConfig
    ) -> None:
        self._pool = pool
        self._threads = threads
        self._config = config
        self._free = asyncio.Semaphore(config.workers)

    async def run(self, cell: Cell) -> Ran:
        run = _Run(self._pool, cell, self._config)
        async with self._free:
            done = asyncio.get_running_loop().run_in_executor(self._threads, run.whole)
            try:
                return await asyncio.shield(done)
            except asyncio.CancelledError:
                run.kill()
                await asyncio.wait([done])
                raise


@asynccontextmanager
async def monty(config: PythonConfig) -> AsyncIterator[Monty]:
    """The engine with its pool of processes, for as long as the block. Raises ConfigError."""
    pool = pydantic_monty.Monty(max_processes=config.workers)
    try:
        await asyncio.to_thread(pool.__enter__)
    except (OSError, RuntimeError) as exc:
        raise ConfigError(f"python.engine monty cannot start its processes: {exc}") from exc
    try:
        with ThreadPoolExecutor(config.workers, thread_name_prefix="python") as threads:
            yield Monty(pool, threads, config)
    finally:
        await asyncio.to_thread(pool.__exit__, None, None, None)


class _Run:
    """One cell, in a thread; `kill` may come from another one, at any time."""

    def __init__(self, pool: pydantic_monty.Monty, cell: Cell, config: PythonConfig) -> None:
        self._pool = pool
        self._cell = cell
        self._config = config
        self._printed = ""
        self._worker: int | None = None
        self._killed = False
        self._lock = Lock()

    def whole(self) -> Ran:
        limits: pydantic_monty.ResourceLimits = {
            "max_feed_duration_secs": self._config.timeout_s,
            "max_memory": self._config.memory_bytes,
        }
        # There is nothing in there to wait for: sleeps end at once.
        session = self._pool.checkout(
            script_name="main.py", limits=limits, os_policy={"sleep": "zero"}
        )
        try:
            with session:
                return self._within(session)
        except pydantic_monty.MontyCrashedError as exc:
            return self._crashed(exc)
        except (pydantic_monty.MontyRuntimeError, pydantic_monty.MontySyntaxError) as exc:
            return self._failed(exc)

    def kill(self) -> None:
        """Ends the run. Its worker dies with it; the pool makes a new one."""
        with self._lock:
            self._killed = True
            if self._worker is not None:
                # Ours as long as it is noted here, so the number can't be somebody else's.
                with suppress(ProcessLookupError):
                    os.kill(self._worker, signal.SIGKILL)

    def _within(self, session: pydantic_monty.MontySession) -> Ran:
        with self._lock:
            if self._killed:
                return Ran("", ok=False)
            self._worker = session.worker_pid
        try:
            session.feed_run(self._cell.code, print_callback=self._print)
            value = "None"
            if self._cell.has_value:
                # Made, and cut, in there: a value may be larger than this process can bear.
                value = session.feed_run(f"'%.{self._config.output_chars}r' % ({VALUE},)")
        finally:
            with self._lock:
                self._worker = None
        limit = self._config.output_chars
        return Ran(self._printed if value == "None" else ended(self._printed, value, limit))

    def _print(self, stream: str, text: str) -> None:
        if self._is_full:
            return
        self._printed += text
        if self._is_full:
            self.kill()

    @property
    def _is_full(self) -> bool:
        return len(self._printed) > self._config.output_chars

    def _crashed(self, exc: pydantic_monty.MontyCrashedError) -> Ran:
        if self._is_full:
            return too_much(self._printed, self._config.output_chars)
        if exc.timed_out:
            return too_long(self._printed, self._config.timeout_s)
        return crashed(self._printed)

    def _failed(
        self, exc: "pydantic_monty.MontyRuntimeError | pydantic_monty.MontySyntaxError"
    ) -> Ran:
        if str(exc).startswith("TimeoutError: feed time limit"):
            return too_long(self._printed, self._config.timeout_s)
        return Ran(ended(self._printed, exc.display(), self._config.output_chars), ok=False)
