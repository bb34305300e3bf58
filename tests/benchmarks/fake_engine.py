"""A process of its own for the fake executor: two requests through a real AsyncLLM.

Its last line on standard output is how many tokens each got, as JSON. Apart from pytest, because
importing vLLM warns and costs seconds.
"""

import asyncio
import json
import sys
from pathlib import Path

from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from benchmarks.variants import FAKE_EXECUTOR

MODEL = Path(__file__).resolve().parents[2] / "models" / "demo"


async def generated(engine: AsyncLLM, name: str, prompt: int, tokens: int) -> int:
    """How many tokens a request with a made-up prompt of `prompt` tokens gets."""
    params = SamplingParams(max_tokens=tokens, ignore_eos=True, output_kind=RequestOutputKind.DELTA)
    given = {"type": "token", "prompt_token_ids": [300] * prompt}
    count = 0
    async for output in engine.generate(given, params, name):
        count += len(output.outputs[0].token_ids)
    return count


async def main() -> None:
    args = AsyncEngineArgs(
        model=str(MODEL),
        max_model_len=1024,
        max_num_batched_tokens=256,
        enforce_eager=True,
        distributed_executor_backend=FAKE_EXECUTOR,
    )
    engine = await asyncio.to_thread(AsyncLLM.from_engine_args, args)
    try:
        # The second prompt takes several steps, which must not emit a token each.
        counts = await asyncio.gather(
            generated(engine, "short", prompt=10, tokens=5),
            generated(engine, "long", prompt=900, tokens=64),
        )
    finally:
        await asyncio.to_thread(engine.shutdown, 20)
    sys.stdout.write(f"\n{json.dumps(counts)}\n")


if __name__ == "__main__":
    asyncio.run(main())
