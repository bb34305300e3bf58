"""What the KV cache gives up comes back from host memory: on the real engine, by its counters."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest

import models
from engine.build import build
from engine.config import EngineConfig
from engine.errors import StartFailed
from engine.outlook import Outlook
from engine.protocol import Engine
from engine.types import Call, Delta, Finished
from engine.vllm.backend import VllmEngine
from engine.vllm.launch import engine_args
from tests.parts.forked import no_errors_of_warnings

BLOCK = 32
SESSIONS = 6
ARGS = {"enforce_eager": True, "block_size": BLOCK, "num_gpu_blocks_override": 40}


def config(host_memory_gib: float, **args: object) -> EngineConfig:
    """An engine whose KV cache holds 40 blocks: three of the six sessions below."""
    return EngineConfig.model_validate(
        {
            "name": "demo",
            "model": str(Path(models.__file__).parent / "demo"),
            "dtype": "float32",  # so that no rounding tells a copy from a computation
            "kv_cache_gib": 0.25,
            "max_model_len": 1024,
            "host_memory_gib": host_memory_gib,
            "args": {**ARGS, **args},
        }
    )


@asynccontextmanager
async def running(config: EngineConfig) -> AsyncGenerator[Engine]:
    """The engine, started."""
    engine = build(config)
    with no_errors_of_warnings():
        await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def turn(engine: Engine, session: int, number: int) -> tuple[int, str]:
    """One turn of a session: how many tokens of its prompt were cached, and what it said."""
    prompt = [(session * 131 + place * 7) % 500 + 5 for place in range(400 + 40 * number)]
    body = {"prompt": prompt, "max_tokens": 8, "temperature": 0}
    call = Call(f"{session}-{number}", "completion", body, stream=False, session=f"s{session}")
    said = ""
    cached = -1
    async with aclosing(engine.generate(call)) as events:
        async for event in events:
            if isinstance(event, Delta):
                said += event.text
            elif isinstance(event, Finished):
                cached = event.usage.cached_tokens
    return cached, said


async def second_turns(engine: Engine) -> list[tuple[int, str]]:
    """Second turns of sessions that have pushed each other out."""
    for session in range(SESSIONS):
        await turn(engine, session, 0)
    return [await turn(engine, session, 1) for session in range(SESSIONS)]


def counted(engine: Engine, name: str, **labels: str) -> float:
    """What one of vLLM's counters says."""
    return sum(
        sample.value
        for family in engine.collector.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


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
    """Where its second turn finds it: nowhere, in host memory, at hand."""
    found = [await found_by_return(gib, told) for gib, told in ((0, True), (1, False), (1, True))]

    assert found[0] == (0, 0)
    assert found[1][0] == 0 < found[1][1]
    assert found[2][0] >= found[1][1]
    assert found[2][1] == 0


async def found_by_return(host_memory_gib: float, is_told: bool) -> tuple[float, float]:
    """Tokens of a returning session that are at hand, and that come from host memory."""
    names = ("vllm:prefix_cache_hits_total", "vllm:external_prefix_cache_hits_total")
    async with running(config(host_memory_gib)) as engine:
        assert isinstance(engine, VllmEngine)
        asked = [{"role": "user", "content": "What is two and three? " * 60}]
        said = await chat(engine, "a", asked)
        for session in range(SESSIONS):
            await turn(engine, session, 0)
        for session in range(SESSIONS):
            engine.expect(Outlook(f"s{session}", "done"))
        if is_told:
            engine.expect(Outlook("a", "away", gone_s=5.0, expected_s=(5.5, 60.0)))
            async with asyncio.timeout(30):
                while host_memory_gib and not counted(engine, names[1]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # nobody announces it
            assert await engine.drain(30)
        before = [counted(engine, name) for name in names]
        again = [*asked, {"role": "assistant", "content": said}, {"role": "user", "content": "?"}]
        await chat(engine, "a", again)
        at_hand, from_host = (
            counted(engine, name) - b for name, b in zip(names, before, strict=True)
        )
        return at_hand, from_host


async def chat(engine: Engine, session: str, messages: list[dict[str, str]]) -> str:
    """One turn of a conversation."""
    body = {"messages": messages, "max_tokens": 200, "temperature": 0}
    call = Call(f"{session}-{len(messages)}", "chat", body, stream=False, session=session)
    async with aclosing(engine.generate(call)) as events:
        return "".join([event.text async for event in events if isinstance(event, Delta)])


def test_more_host_memory_than_there_is_free_is_refused() -> None:
    too_much = psutil.virtual_memory().total / 2**30 + 1
    with pytest.raises(StartFailed, match=r"host_memory_gib is .* GiB are free; lower it"):
        engine_args(config(too_much))


@pytest.mark.parametrize("args", [{"kv_transfer_config": {}}, {"enable_prefix_caching": False}])
def test_arguments_that_host_memory_would_undo_are_refused(args: dict[str, object]) -> None:
    with pytest.raises(StartFailed, match=f"leave '{next(iter(args))}' out of `args`"):
        engine_args(config(0.25, **args))


def test_without_host_memory_vllm_has_no_connector() -> None:
    assert engine_args(config(0)).kv_transfer_config is None
