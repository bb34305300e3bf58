"""What gateways know together: small values, budgets and members, in memory or shared.

A value is bytes under a key for a time. A budget is a token bucket. Members are leases: whoever
holds one counts, until it is given back or runs out. What renews a lease takes it over: only the
last to take it can give it back, so that an end that comes late ends nothing that began since.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

T = TypeVar("T")

TICK_S = 1e-5


@dataclass(frozen=True, slots=True)
class Bucket:
    """A budget of `burst` units that fills at `rate` units a second, or by what is put in alone."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Lease:
    """How many may hold one at once, and for how long each."""

    most: int
    ttl_s: float


class StoreDown(Exception):
    """The shared store does not answer; the text names the kind of failure only."""


class Store(Protocol):
    """Each of these is one atomic step. Raises StoreDown where the store is shared."""

    async def get(self, key: str) -> bytes | None:
        """The value, unless its time is up."""
        ...

    async def put(self, key: str, value: bytes | None, ttl_s: float) -> None:
        """Set a value; None takes it away."""
        ...

    async def spend(self, key: str, amount: float, bucket: Bucket, *, owed: bool) -> float:
        """Take from a budget: 0.0, or the seconds until there would be enough, and nothing taken.

        With `owed` it is taken in any case: what has been used already. A budget may so fall below
        nothing, and whoever asks for less than it ever holds waits until it has recovered. An
        amount below nothing is put in.
        """
        ...

    async def enter(self, key: str, member: str, lease: Lease) -> float:
        """Hold or renew a lease: when it runs out, 0.0 when as many others hold one as may."""
        ...

    async def leave(self, key: str, member: str, until_s: float) -> None:
        """Give the lease back that runs out then, unless it was renewed since."""
        ...

    async def close(self) -> None:
        """Nothing is asked any more."""
        ...


@dataclass(slots=True)
class MemoryStore:
    """One process's own store; bounded, what was unused longest goes first."""

    clock: Callable[[], float]
    most: int = 100_000
    _values: OrderedDict[str, tuple[bytes, float]] = field(default_factory=OrderedDict)
    _budgets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _members: OrderedDict[str, dict[str, float]] = field(default_factory=OrderedDict)

    async def get(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, 0.0))
        if value is None or until <= self.clock():
            self._values.pop(key, None)
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes | None, ttl_s: float) -> None:
        if value is None:
            self._values.pop(key, None)
            return
        self._values[key] = (value, self.clock() + ttl_s)
        _bound(self._values, key, self.most)

    async def spend(self, key: str, amount: float, bucket: Bucket, *, owed: bool) -> float:
        now = self.clock()
        left, since = self._budgets.get(key, (bucket.burst, now))
        left = min(left + (now - since) * bucket.rate, bucket.burst)
        missing = min(amount, bucket.burst) - left
        if missing > 0 and not owed:
            return missing / bucket.rate if bucket.rate else math.inf
        self._budgets[key] = (min(left - amount, bucket.burst), now)
        _bound(self._budgets, key, self.most)
        return 0.0

    async def enter(self, key: str, member: str, lease: Lease) -> float:
        now = self.clock()
        holders = {name: t for name, t in self._members.get(key, {}).items() if t > now}
        if member not in holders and len(holders) >= lease.most:
            return 0.0
        # No two are alike, or neither could tell whether the other has renewed it.
        until_s = max(now + lease.ttl_s, holders.get(member, 0.0) + TICK_S)
        holders[member] = until_s
        self._members[key] = holders
        _bound(self._members, key, self.most)
        return until_s

    async def leave(self, key: str, member: str, until_s: float) -> None:
        holders = self._members.get(key, {})
        if holders.get(member) == until_s:
            del holders[member]
        if not holders:
            self._members.pop(key, None)

    async def close(self) -> None:
        """Nothing to close."""


def _bound(table: OrderedDict[str, T], key: str, most: int) -> None:
    table.move_to_end(key)
    while len(table) > most:
        table.popitem(last=False)
