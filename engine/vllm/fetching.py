"""Contexts that left the KV cache are fetched from host memory before their sessions return."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from engine.errors import EngineError
from engine.outlook import Outlook

logger = logging.getLogger(__name__)


def due_s(outlook: Outlook, lead_s: float) -> float | None:
    """In how many seconds a context is to be fetched; None if it is not.

    Late forfeits the whole gain and early costs only room, which is asked for before: so a context
    is fetched `lead_s` before the earliest end that is expected, not the likeliest. Of an absence
    that nothing is known of, its end is waited for.
    """
    if outlook.stand == "coming":
        return 0.0
    if outlook.stand != "away" or outlook.expected_s is None:
        return None
    return max(0.0, outlook.expected_s[0] - outlook.gone_s - lead_s)


class Fetching:
    """Who is to be fetched when; at most so many at a time."""

    def __init__(
        self, fetch: Callable[[Outlook], Awaitable[None]], *, most: int, lead_s: float
    ) -> None:
        self._fetch = fetch
        self._most = most
        self._lead_s = lead_s
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._ready: dict[str, Outlook] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def expect(self, outlook: Outlook) -> None:
        """Take what is known of a session; it replaces what was known before."""
        name = outlook.session
        if outlook.stand == "coming" and name in self._running:
            return
        self.drop(name)
        in_s = due_s(outlook, self._lead_s) if self._most else None
        if in_s is not None:
            loop = asyncio.get_running_loop()
            self._timers[name] = loop.call_later(in_s, self._due, outlook)

    @property
    def pending(self) -> set[str]:
        """The sessions that are being fetched, or will be."""
        return {*self._timers, *self._ready, *self._running}

    def drop(self, session: str) -> None:
        """Its turn is here, or it is not to be fetched any more: whatever runs for it ends."""
        if (timer := self._timers.pop(session, None)) is not None:
            timer.cancel()
        self._ready.pop(session, None)
        if (task := self._running.get(session)) is not None:
            task.cancel()

    async def close(self) -> None:
        """End all."""
        for name in self.pending:
            self.drop(name)
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _due(self, outlook: Outlook) -> None:
        del self._timers[outlook.session]
        self._ready[outlook.session] = outlook
        self._begin()

    def _begin(self) -> None:
        for name in list(self._ready):
            if len(self._running) >= self._most:
                return
            if name not in self._running:
                task = asyncio.create_task(self._run(self._ready.pop(name)), name=f"fetch {name}")
                self._running[name] = task
                task.add_done_callback(partial(self._ended, name))

    async def _run(self, outlook: Outlook) -> None:
        try:
            await self._fetch(outlook)
        except EngineError as error:
            # The turn itself will say what is wrong; this was only ahead of it.
            logger.warning("session %s was not fetched: %s", outlook.session, error)

    def _ended(self, name: str, _: asyncio.Task[None]) -> None:
        del self._running[name]
        self._begin()
