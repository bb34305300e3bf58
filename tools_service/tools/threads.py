"""Functions that block, each in a thread of its own, a bounded number at a time."""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Threads:
    """Daemon threads: one that never ends must not keep the process from ending.

    A thread can't be stopped. When its caller is cancelled it goes on, and keeps its place until
    it ends by itself.
    """

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)

    async def run(self, function: Callable[[], Result]) -> Result:
        """The function's result, or what it raises; waits for a place first."""
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Result] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                result = context.run(function)
            except BaseException as exc:
                report = _failing(ended, exc)
            else:
                report = _succeeding(ended, result)
            # The loop may be gone: then nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, report)

        try:
            threading.Thread(target=work, name="tool", daemon=True).start()
        except RuntimeError:
            self._places.release()
            raise
        return await ended

    def _end(self, report: Callable[[], None]) -> None:
        self._places.release()
        report()


def _succeeding(ended: asyncio.Future[Result], result: Result) -> Callable[[], None]:
    return lambda: None if ended.done() else ended.set_result(result)


def _failing(ended: asyncio.Future[Result], exc: BaseException) -> Callable[[], None]:
    return lambda: None if ended.done() else ended.set_exception(exc)
