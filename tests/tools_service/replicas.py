"""Runtime tables that take part in a shared one, and how they are compared."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from tests.parts.redis_server import RedisServer, until
from tools_service.config import RedisConfig
from tools_service.metrics import Metrics
from tools_service.records import Outcome, Record, Saved
from tools_service.redis_table import SharedTable
from tools_service.runtimes import Key, Table

KEY = Key("search", "basic:news", "open")


@dataclass
class Replica:
    """A table that takes part; `alone` until it is inside `taking_part`."""

    config: RedisConfig
    table: Table = field(default_factory=Table)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.shared = SharedTable(self.config, self.table, Metrics(self.registry))
        self.table.told = self.shared.note

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"roundhouse_tools_service_{name}", labels) or 0.0

    def see(
        self, run_s: float, *, key: Key = KEY, outcome: Outcome = "ok", now: float = 1e3
    ) -> None:
        self.table.observe(key, outcome, run_s, self.table.expected(key), now)

    @property
    def samples(self) -> int:
        return self.table.expected(KEY).samples


def settings(server: RedisServer, **more: object) -> RedisConfig:
    # Short waits: they decide how soon a test goes on, not whether it passes.
    given = {"url": server.url, "retry_s": 0.01, "timeout_s": 0.5, **more}
    return RedisConfig.model_validate(given)


@asynccontextmanager
async def taking_part(replica: Replica) -> AsyncIterator[Replica]:
    """Joined, for as long as the block."""
    task = asyncio.create_task(replica.shared.run())
    await until(lambda: replica.metric("shared") == 1)
    try:
        yield replica
    finally:
        task.cancel()
        await asyncio.wait([task])


def numbers(record: Record) -> list[float]:
    found: list[float] = [record.timeouts, record.cancels]
    for sketch in (record.runs, record.failures):
        found += [sketch.samples, sketch.strength, sketch.total / sketch.unit, sketch.last_s]
        heavy = {b: w / sketch.unit for b, w in sketch.buckets.items() if w / sketch.unit > 1e-5}
        found += [number for pair in sorted(heavy.items()) for number in pair]
    return found


def same(one: Saved, other: Saved) -> bool:
    if one.kinds.keys() != other.kinds.keys() or one.tools.keys() != other.tools.keys():
        return False
    for name, row in one.tools.items():
        its = other.tools[name]
        if (row.kind, row.judged, row.inside) != (its.kind, its.judged, its.inside):
            return False
        if row.shapes.keys() != its.shapes.keys():
            return False
    levels = [(one.kinds[kind], other.kinds[kind]) for kind in one.kinds]
    for name, row in one.tools.items():
        levels += [(row.whole, other.tools[name].whole)]
        levels += [(row.shapes[shape], other.tools[name].shapes[shape]) for shape in row.shapes]
    return all(numbers(a) == pytest.approx(numbers(b), rel=1e-6) for a, b in levels)
