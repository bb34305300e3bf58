"""What retention has done, in an engine's metrics: as the core and vLLM's own counters have it."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from benchmarks.tier_play import BLOCK, config, counted
from engine.outlook import Outlook
from engine.protocol import Engine
from engine.vllm.backend import VllmEngine
from engine.vllm.retention import RetentionCounts
from tests.engine.test_host_memory import SESSIONS, running, second_turns

STANDS = ("done", "nobody", "aside", "away", "queued")
NAMES = {
    "roundhouse_retention_evicted_blocks_total": "evicted_",
    "roundhouse_retention_returned_blocks_total": "returned",
    "roundhouse_retention_held_blocks": "held",
    "roundhouse_retention_sessions": "sessions",
}
FULL = (400 + 8 - 1) // BLOCK  # of a first turn; the last token that was written is not computed


def shown(engine: Engine) -> dict[str, float]:
    """All that the metrics say, by the core's names; empty before its first answer."""
    found = {}
    for family in engine.collector.collect():
        for sample in family.samples:
            if sample.name in NAMES:
                assert sample.labels["engine"] == engine.name
                found[NAMES[sample.name] + sample.labels.get("stand", "")] = sample.value
    return found


async def until(engine: Engine, wanted: dict[str, float]) -> None:
    """Until the metrics say that."""
    async with asyncio.timeout(10):
        while shown(engine) != wanted:  # noqa: ASYNC110  # nobody announces it
            await asyncio.sleep(0.01)


@pytest.mark.real
async def test_after_pressure_the_metrics_say_what_the_core_has_counted() -> None:
    async with running(config(0)) as engine:
        assert isinstance(engine, VllmEngine) and engine._llm is not None
        nothing = {f"evicted_{stand}": 0.0 for stand in STANDS}
        # A core begins at 0, and that is seen before anything is told or given up. The probe that
        # ends the start belongs to no session.
        await until(engine, {**nothing, "returned": 0, "held": 0, "sessions": 0})

        found = await second_turns(engine)
        engine.expect(Outlook("other-0", "coming"))
        stats = await engine._llm.engine_core.call_utility_async("agent_stats")
        del stats["chains"]
        await until(engine, stats)
        hits = counted(engine, "vllm:prefix_cache_hits_total")

    # Nothing of the second turns was found, so all that the first had computed had been given up.
    assert sum(cached for cached, _ in found) == hits == 0
    assert stats["returned"] == SESSIONS * FULL
    assert stats["evicted_away"] >= SESSIONS * FULL
    assert stats["sessions"] == SESSIONS
    assert 0 < stats["held"] < 40


def test_several_cores_of_an_engine_count_together_and_one_that_began_anew_counts_anew() -> None:
    registry = CollectorRegistry()
    counts = RetentionCounts(registry)
    core = {"evicted_away": 3, "evicted_done": 1, "returned": 2, "held": 5, "sessions": 2}
    evicted = "roundhouse_retention_evicted_blocks_total"
    assert registry.get_sample_value(evicted, {"stand": "away"}) is None

    counts.take([core, core])
    assert registry.get_sample_value(evicted, {"stand": "away"}) == 6
    assert registry.get_sample_value("roundhouse_retention_held_blocks") == 10

    counts.take([dict.fromkeys(core, 0)])
    assert registry.get_sample_value(evicted, {"stand": "away"}) == 0
    assert registry.get_sample_value("roundhouse_retention_returned_blocks_total") == 0
