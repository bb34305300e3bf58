"""Times an engine's steps: prompts alone, and sequences that decode together."""

import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count

from vllm.platforms import current_platform

from benchmarks.steps import WRITTEN, Batch, Nap, Prompt, Timed
from engine.config import EngineConfig
from engine.errors import EngineError
from engine.types import Call, Delta
from engine.vllm.backend import VllmEngine

_REPEATS = 3
_SAID = 48
_NAPS = 2  # host memory for the weights is taken for the first, and kept
_SETTLED_S = 0.1  # after the last of a batch has begun
_WORDS = range(5, 500)  # every vocabulary has them, and none is special

Arrivals = list[tuple[float, list[int]]]
"""When which tokens came, on the process's clock."""


class NoRoomError(Exception):
    """Sequences that were to decode together did not run together."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The engine to time."""

    model: str
    args: Mapping[str, object]
    kv_cache_gib: float
    max_model_len: int | None
    sleeps: bool = False

    def config(self) -> EngineConfig:
        """As a profile would have it."""
        return EngineConfig.model_validate(
            {
                "name": "steps",
                "model": self.model,
                "kv_cache_gib": self.kv_cache_gib,
                "max_model_len": self.max_model_len,
                "spare": self.sleeps,
                "args": dict(self.args),
            }
        )


async def play(
    asked: Asked, prompts: Sequence[Prompt], batches: Sequence[Batch]
) -> tuple[Timed, str]:
    """Start the engine and time it; what was measured, and the device's name."""
    engine = VllmEngine(asked.config())
    await engine.start()
    try:
        timer = Timer(engine)
        naps = [await timer.nap() for _ in range(_NAPS * asked.sleeps)]
        timed = Timed(
            [(prompt, await timer.prompt(prompt)) for prompt in prompts],
            [(batch, await timer.batch(batch)) for batch in batches],
            naps,
        )
    finally:
        await engine.close()
    return timed, current_platform.get_device_name()


class Timer:
    """Asks an engine for what no two requests share, so that nothing is cached by chance."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine
        self._seeds = count()

    async def prompt(self, prompt: Prompt) -> float:
        """Seconds until its first token, the median of some; the first of all warms up."""
        took = []
        for _ in range(_REPEATS + 1):
            before = self._tokens(prompt.before)
            if before:
                await self._ask(before, 1)
            began_s = time.perf_counter()
            arrivals = await self._ask(before + self._tokens(prompt.tokens), 1)
            took.append(arrivals[0][0] - began_s)
        return statistics.median(took[1:])

    async def batch(self, batch: Batch) -> float:
        """Seconds that a step takes while all of them decode, and nothing else runs.

        Raises NoRoomError and EngineError.
        """
        await self._decode(batch)  # warms up
        all_arrivals = await self._decode(batch)
        begin_s = max(arrivals[0][0] for arrivals in all_arrivals) + _SETTLED_S
        end_s = min(arrivals[-1][0] for arrivals in all_arrivals)
        if end_s <= begin_s:
            raise NoRoomError(
                f"{batch}: they did not all run at once; give the engine a larger KV cache or "
                "max_num_seqs, or ask for fewer of them"
            )
        # Counted by tokens: a slow reader gets those of several steps at once.
        tokens = sum(
            len(ids)
            for arrivals in all_arrivals
            for at_s, ids in arrivals
            if begin_s < at_s <= end_s
        )
        return batch.sequences * (end_s - begin_s) / tokens

    async def _decode(self, batch: Batch) -> list[Arrivals]:
        length = batch.context - WRITTEN // 2
        try:
            async with asyncio.TaskGroup() as group:
                asked = [
                    group.create_task(self._ask(self._tokens(length), WRITTEN))
                    for _ in range(batch.sequences)
                ]
        except* EngineError as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in asked]

    async def nap(self) -> Nap:
        """Sleep, wake, and the same question before and after."""
        prompt = self._tokens(64)
        before = _ids(await self._ask(prompt, _SAID))
        began_s = time.perf_counter()
        await self._engine.sleep()
        asleep_s = time.perf_counter()
        await self._engine.wake()
        awake_s = time.perf_counter()
        arrivals = await self._ask(prompt, _SAID)
        return Nap(
            sleep_s=asleep_s - began_s,
            wake_s=awake_s - asleep_s,
            first_token_s=arrivals[0][0] - awake_s,
            is_same=_ids(arrivals) == before,
        )

    def _tokens(self, length: int) -> list[int]:
        rng = random.Random(next(self._seeds))
        return rng.choices(_WORDS, k=length)

    async def _ask(self, prompt: list[int], tokens: int) -> Arrivals:
        body = {
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
        }
        call = Call(f"steps-{next(self._seeds)}", "completion", body, stream=True)
        arrivals: Arrivals = []
        async with aclosing(self._engine.generate(call)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    arrivals.append((time.perf_counter(), list(event.token_ids or ())))
        return arrivals


def _ids(arrivals: Arrivals) -> list[int]:
    return [token for _, ids in arrivals for token in ids]
