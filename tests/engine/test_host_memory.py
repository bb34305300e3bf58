"""What the KV cache gives up comes back from host memory: on the real engine, by its counters."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psutil
import pytest

from benchmarks.tier import VARIANTS, Found, Variant
from benchmarks.tier_play import BLOCK, chat, config, counted, other, returning
from engine.config import EngineConfig
from engine.errors import StartFailed
from engine.outlook import Outlook
from engine.vllm.backend import VllmEngine
from engine.vllm.launch import engine_args
from tests.parts.forked import no_errors_of_warnings

SESSIONS = 6


@asynccontextmanager
async def running(config: EngineConfig) -> AsyncGenerator[VllmEngine]:
    """The engine, started."""
    engine = VllmEngine(config)
    with no_errors_of_warnings():
        await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def second_turns(engine: VllmEngine) -> list[tuple[int, str]]:
    """Second turns of sessions that have pushed each other out."""
    for session in range(SESSIONS):
        await other(engine, session, 0)
    return [await other(engine, session, 1) for session in range(SESSIONS)]


async def test_a_context_that_was_given_up_comes_back_from_host_memory_unchanged() -> None:
    async with running(config(0)) as engine:
        without = await second_turns(engine)
    async with running(config(0.25)) as engine:
        kept = await second_turns(engine)
        from_host = counted(engine, "vllm:external_prefix_cache_hits_total")
        by_source = counted(
            engine, "vllm:prompt_tokens_by_source_total", source="external_kv_transfer"
        )
        at_hand = counted(engine, "vllm:prefix_cache_hits_total")
        moved = counted(engine, "vllm:kv_offload_total_bytes_total", transfer_type="CPU_to_GPU")

    assert [cached for cached, _ in without] == [0] * SESSIONS
    assert [cached for cached, _ in kept] == [400 // BLOCK * BLOCK] * SESSIONS
    assert [said for _, said in kept] == [said for _, said in without]
    # What a client is told is the sum of both places.
    assert from_host == by_source > 0
    assert at_hand + from_host == sum(cached for cached, _ in kept)
    assert moved > 0


async def test_a_context_is_fetched_before_its_session_returns() -> None:
    """Where second turns find theirs: nowhere, in host memory, at hand."""
    nowhere, in_host, fetched = [await found(variant) for variant in VARIANTS]

    assert nowhere.at_hand == nowhere.from_host == 0
    assert in_host.at_hand == 0 < in_host.from_host
    assert fetched.at_hand >= in_host.from_host
    assert fetched.from_host == 0
    assert nowhere.prompt == in_host.prompt == fetched.prompt


async def found(variant: Variant) -> Found:
    async with running(config(variant.host_memory_gib)) as engine:
        return await returning(engine, variant, sessions=2)


async def test_an_engine_that_sleeps_fetches_nothing() -> None:
    spare = config(0.25).model_copy(update={"spare": True})
    away = Outlook("one", "away", gone_s=5.0, expected_s=(5.5, 60.0))
    later = Outlook("one", "away", gone_s=0.0, expected_s=(500.0, 600.0))
    async with running(spare) as engine:
        await chat(engine, "one", [{"role": "user", "content": "one and two?"}])
        engine.expect(later)
        assert engine._fetching.pending == {"one"}
        await engine.sleep()
        assert engine._fetching.pending == set(), "what was to come is given up"
        engine.expect(away)
        assert engine._fetching.pending == set(), "nothing begins meanwhile"
        await engine.wake()
        engine.expect(later)
        assert engine._fetching.pending == {"one"}


def test_more_host_memory_than_there_is_free_is_refused() -> None:
    too_much = psutil.virtual_memory().total / 2**30 + 1
    with pytest.raises(StartFailed, match=r"host_memory_gib is .* GiB are free; lower it"):
        engine_args(config(too_much))


async def test_host_memory_that_holds_not_one_block_is_refused() -> None:
    with pytest.raises(StartFailed, match=r"host_memory_gib is 1e-05, and .* not one block; raise"):
        async with running(config(1e-5)):
            pass


@pytest.mark.parametrize("args", [{"kv_transfer_config": {}}, {"enable_prefix_caching": False}])
def test_arguments_that_host_memory_would_undo_are_refused(args: dict[str, object]) -> None:
    with pytest.raises(StartFailed, match=f"leave '{next(iter(args))}' out of `args`"):
        engine_args(config(0.25, **args))


def test_without_host_memory_vllm_has_no_connector() -> None:
    assert engine_args(config(0)).kv_transfer_config is None
