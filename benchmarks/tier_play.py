"""Sessions that push each other out of a small KV cache, and return: on the real CPU engine."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from benchmarks.tier import Found, Variant
from benchmarks.variants import ROOT
from engine.config import EngineConfig
from engine.outlook import Outlook
from engine.types import Call, Delta, Finished, Usage
from engine.vllm.backend import VllmEngine

BLOCK = 32
BLOCKS = 40
OTHERS = 6
"""Sessions whose one turn takes up a third of the cache each."""
NAMES = ("one", "two", "three")
"""Sessions that return. No more of them would fit at once."""
_TOKENS = 400
_FETCHED_S = 60.0
_AT_HAND, _FROM_HOST = "vllm:prefix_cache_hits_total", "vllm:external_prefix_cache_hits_total"


def config(host_memory_gib: float, **args: object) -> EngineConfig:
    """An engine with the demo model and a KV cache of `BLOCKS` blocks."""
    small = {"enforce_eager": True, "block_size": BLOCK, "num_gpu_blocks_override": BLOCKS}
    return EngineConfig.model_validate(
        {
            "name": "demo",
            "model": str(ROOT / "models" / "demo"),
            "dtype": "float32",  # so that no rounding tells a copy from a computation
            "kv_cache_gib": 0.25,
            "max_model_len": 1024,
            "host_memory_gib": host_memory_gib,
            "args": {**small, **args},
        }
    )


async def play(variant: Variant, sessions: int) -> Found:
    """Start an engine and play on it."""
    engine = VllmEngine(config(variant.host_memory_gib))
    await engine.start()
    try:
        return await returning(engine, variant, sessions)
    finally:
        await engine.close()


async def returning(engine: VllmEngine, variant: Variant, sessions: int) -> Found:
    """Let sessions go, others come and push them out, and the first return."""
    names = NAMES[:sessions]
    asked = {name: [_user(f"{name} and two? " + "What is two and three? " * 31)] for name in names}
    said = {name: (await chat(engine, name, asked[name]))[0] for name in names}
    for number in range(OTHERS):
        await other(engine, number, 0)
    for number in range(OTHERS):  # not before: the finished would go first, and nobody else
        engine.expect(Outlook(f"other-{number}", "done"))
    if variant.is_told:
        await _foretell(engine, names, is_fetched=bool(variant.host_memory_gib))
    before = counted(engine, _AT_HAND), counted(engine, _FROM_HOST)
    prompt = 0
    for name in names:
        answer = {"role": "assistant", "content": said[name]}
        _, usage = await chat(engine, name, [*asked[name], answer, _user("And then?")])
        prompt += usage.prompt_tokens
    at_hand, from_host = counted(engine, _AT_HAND), counted(engine, _FROM_HOST)
    return Found(prompt, int(at_hand - before[0]), int(from_host - before[1]))


async def _foretell(engine: VllmEngine, names: Sequence[str], *, is_fetched: bool) -> None:
    """Say that they return at any moment, and wait until what is fetched is there."""
    ended = "vllm:request_success_total"
    wanted = counted(engine, ended) + len(names)
    for name in names:
        engine.expect(Outlook(name, "away", gone_s=5.0, expected_s=(5.5, 60.0)))
    if is_fetched:  # a fetch ends as a request does, and nobody announces it
        async with asyncio.timeout(_FETCHED_S):
            while counted(engine, ended) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def other(engine: VllmEngine, session: int, number: int) -> tuple[int, str]:
    """A turn of one of the others: how many tokens of its prompt were cached, and what it said."""
    length = _TOKENS + 40 * number
    prompt = [(session * 131 + place * 7) % 500 + 5 for place in range(length)]
    body = {"prompt": prompt, "max_tokens": 8, "temperature": 0}
    call = Call(f"{session}-{number}", "completion", body, stream=False, session=f"other-{session}")
    said, usage = await _ask(engine, call)
    return usage.cached_tokens, said


async def chat(
    engine: VllmEngine, session: str, messages: Sequence[dict[str, str]]
) -> tuple[str, Usage]:
    """One turn of a conversation."""
    body = {"messages": list(messages), "max_tokens": 200, "temperature": 0}
    call = Call(f"{session}-{len(messages)}", "chat", body, stream=False, session=session)
    return await _ask(engine, call)


def counted(engine: VllmEngine, name: str, **labels: str) -> float:
    """What one of vLLM's counters says."""
    return sum(
        sample.value
        for family in engine.collector.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def _ask(engine: VllmEngine, call: Call) -> tuple[str, Usage]:
    said, usage = "", Usage(0, 0)
    async with aclosing(engine.generate(call)) as events:
        async for event in events:
            if isinstance(event, Delta):
                said += event.text
            elif isinstance(event, Finished):
                usage = event.usage
    return said, usage


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
