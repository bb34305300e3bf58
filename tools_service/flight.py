"""Single-flight: identical calls at the same time are one run, which answers them all.

The run belongs to nobody who waits for it: it goes on while anybody does, and is cancelled when the
last one leaves. It never waits for them either. Each has a mailbox of its own, so that a slow
reader holds up neither the tool nor the others; what does not fit there is progress, and lost.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tools_service.call import Answer, Listener, Started
from tools_service.errors import Draining
from tools_service.tools.registry import Progress

_UNREAD = 16

Fly = Callable[[Listener], Awaitable[Answer]]
_News = Started | Progress | Answer | Exception


@dataclass(eq=False, slots=True)
class _Flight:
    """One run and the mailboxes of those who wait for it. It is the listener of its own run."""

    waiters: set[asyncio.Queue[_News]] = field(default_factory=set)
    started: Started | None = None
    task: asyncio.Task[None] | None = None

    def join(self) -> asyncio.Queue[_News]:
        """One more waits; it is told at once what it has missed."""
        mailbox: asyncio.Queue[_News] = asyncio.Queue()
        self.waiters.add(mailbox)
        if self.started is not None:
            # It did not wait for a slot: the run it joins has one.
            mailbox.put_nowait(replace(self.started, wait_s=0.0))
        return mailbox

    async def announce(self, started: Started) -> None:
        self.started = started
        self.post(started)

    async def tell(self, progress: Progress) -> None:
        for mailbox in self.waiters:
            if mailbox.qsize() < _UNREAD:
                mailbox.put_nowait(progress)

    def post(self, news: _News) -> None:
        """Something that nobody may miss."""
        for mailbox in self.waiters:
            mailbox.put_nowait(news)

    def cancel(self) -> None:
        """Stops the run; one that has landed is not disturbed by this."""
        assert self.task is not None
        self.task.cancel()


class Flights:
    """All runs that may be joined."""

    def __init__(self) -> None:
        self._tasks: asyncio.TaskGroup | None = None
        self._flights: dict[Hashable, _Flight] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Runs may take off for as long as the block; those that have not landed are cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                self._tasks = None
                for flight in self._flights.values():
                    # One that has not begun would not say so itself.
                    flight.post(Draining())
                    flight.cancel()

    async def share(self, key: Hashable, fly: Fly, listener: Listener) -> tuple[Answer, bool]:
        """The answer of the run with this key, and whether it was running already.

        Raises what `fly` raises, and Draining when the run is cancelled from above.
        """
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._take_off(key, fly)
        mailbox = flight.join()
        try:
            return await _listen(mailbox, listener), joined
        finally:
            flight.waiters.remove(mailbox)
            if not flight.waiters:
                self._give_up(key, flight)

    def _take_off(self, key: Hashable, fly: Fly) -> _Flight:
        if self._tasks is None:
            raise RuntimeError("the executor is not open")
        flight = self._flights[key] = _Flight()
        flight.task = self._tasks.create_task(self._run(key, flight, fly))
        return flight

    def _give_up(self, key: Hashable, flight: _Flight) -> None:
        # At once: who comes now must not join a run that is being stopped.
        self._remove(key, flight)
        flight.cancel()

    def _remove(self, key: Hashable, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _run(self, key: Hashable, flight: _Flight, fly: Fly) -> None:
        end: Answer | Exception = Draining()
        try:
            end = await fly(flight)
        except Exception as exc:
            # A bug of ours, for those who wait to raise; the group must live.
            end = exc
        finally:
            self._remove(key, flight)
            flight.post(end)


async def _listen(mailbox: asyncio.Queue[_News], listener: Listener) -> Answer:
    while True:
        match await mailbox.get():
            case Started() as started:
                await listener.announce(started)
            case Progress() as progress:
                await listener.tell(progress)
            case Answer() as answer:
                return answer
            case Exception() as exc:
                raise exc
