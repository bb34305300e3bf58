"""A bounded queue for slots: who is next is the schedule's to say, who is told so is ours."""

import asyncio

from tools_service.errors import DeadlineUnmet, QueueFull
from tools_service.policy import Entry
from tools_service.schedule import Schedule


class Queue:
    """Slots, and the calls that wait for one. `enter` takes a slot, `leave` gives it back."""

    def __init__(self, schedule: Schedule, *, waiting: int) -> None:
        self._schedule = schedule
        self._limit = waiting
        self._granted: dict[Entry, asyncio.Future[None]] = {}

    @property
    def waiting(self) -> int:
        """Calls without a slot."""
        return len(self._granted)

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._schedule.running

    async def enter(self, entry: Entry) -> None:
        """Returns when the call holds a slot; a cancelled waiter leaves no trace.

        Raises QueueFull when it would have to wait and too many do already, DeadlineUnmet when
        its wait would outlast its deadline.
        """
        self._check_deadline(entry)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._granted[entry] = granted
        self._schedule.add(entry)
        self._grant()
        if not granted.done() and self.waiting > self._limit:
            self._forget(entry)
            raise QueueFull(self.waiting)
        try:
            await granted
        except asyncio.CancelledError:
            # The grant and the cancel can meet in the same turn of the loop.
            if entry in self._granted:
                self._forget(entry)
            else:
                self.leave(entry)
            raise

    def seize(self, entry: Entry) -> bool:
        """Takes a slot only if one is free now: whether it did."""
        self._schedule.add(entry)
        # Whoever waits may not start, or would have: so it is this one or nobody.
        if self._schedule.start() is entry:
            return True
        self._schedule.withdraw(entry)
        return False

    def leave(self, entry: Entry) -> None:
        """Gives the slot back and lets the next call in."""
        self._schedule.finish(entry)
        self._grant()

    def _check_deadline(self, entry: Entry) -> None:
        deadline_s = entry.group.deadline_s
        if deadline_s is None or self._schedule.most_s(entry) <= deadline_s:
            return
        if (wait_s := self._schedule.wait_s(entry)) > deadline_s:
            raise DeadlineUnmet(entry.tool, wait_s, deadline_s)

    def _forget(self, entry: Entry) -> None:
        del self._granted[entry]
        self._schedule.withdraw(entry)

    def _grant(self) -> None:
        while (entry := self._schedule.start()) is not None:
            granted = self._granted.pop(entry)
            # One that is done was cancelled a moment ago: its waiter wakes next, and gives it on.
            if not granted.done():
                granted.set_result(None)
