"""A shared store that may fail: then this gateway's own, with a warning and a metric."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.store import Bucket, Lease, MemoryStore, Store, StoreDown

logger = logging.getLogger(__name__)

T = TypeVar("T")


class StoreMetrics:
    """Whether the shared store answers, and how often it did not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "roundhouse_store_up", "1 while the shared store answers.", registry=registry
        )
        self.local = Counter(
            "roundhouse_store_local",
            "Steps that this gateway took by itself because the shared store did not answer.",
            registry=registry,
        )
        self.up.set(1)


@dataclass(slots=True)
class FallbackStore:
    """Asks the shared store, and its own when that is down or slow.

    After a failure the shared one is left alone for `rest_s`: a request never waits for it twice.
    Values set here while it is down are found here; the other gateways do without.
    """

    shared: Store
    own: MemoryStore
    metrics: StoreMetrics
    timeout_s: float
    rest_s: float
    _until: float = field(default=0.0)
    _up: bool = True

    async def get(self, key: str) -> bytes | None:
        found = await self._ask(lambda store: store.get(key))
        # What was put here while the shared one was away.
        return found if found is not None else await self.own.get(key)

    async def put(self, key: str, value: bytes | None, ttl_s: float) -> None:
        await self._ask(lambda store: store.put(key, value, ttl_s))

    async def spend(self, key: str, amount: float, bucket: Bucket, *, owed: bool) -> float:
        return await self._ask(lambda store: store.spend(key, amount, bucket, owed=owed))

    async def enter(self, key: str, member: str, lease: Lease) -> float:
        return await self._ask(lambda store: store.enter(key, member, lease))

    async def leave(self, key: str, member: str, until_s: float) -> None:
        await self._ask(lambda store: store.leave(key, member, until_s))

    async def close(self) -> None:
        await self.shared.close()

    async def _ask(self, step: Callable[[Store], Awaitable[T]]) -> T:
        if self.own.clock() >= self._until:
            try:
                async with asyncio.timeout(self.timeout_s):
                    answer = await step(self.shared)
            except (StoreDown, TimeoutError) as error:
                self._until = self.own.clock() + self.rest_s
                self._tell(up=False, why=str(error) or "too slow")
            else:
                self._tell(up=True)
                return answer
        self.metrics.local.inc()
        return await step(self.own)

    def _tell(self, *, up: bool, why: str = "") -> None:
        if up == self._up:
            return
        self._up = up
        self.metrics.up.set(up)
        if up:
            logger.info("the shared store answers again")
        else:
            logger.warning("the shared store does not answer (%s): going on alone", why)
