"""vLLM's scheduler and KV cache manager with nothing behind them: a step takes modelled time."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.core.kv_cache_utils import BlockHash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from benchmarks.agents.context import ANSWER, BLOCK, Context
from benchmarks.agents.costs import Chunk, Clock

_LONGEST = 200_000  # simulated tokens
# The smallest model that vLLM accepts; no weights are loaded and nothing is computed.
_MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "float32",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": 4096,
    "max_position_embeddings": 8192,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The engine's settings, in real tokens."""

    pool: int
    scale: int = 16
    """Real tokens that one simulated token stands for."""
    batch: int = 8192
    """Tokens of prompts that one simulated step computes at most."""
    sequences: int = 256
    by_priority: bool = False


@dataclass(slots=True, eq=False)
class Run:
    """One turn in the engine: times, and tokens (simulated ones)."""

    session: int
    request: Request
    context: Context
    came_s: float
    began_s: float | None = None
    """When it was first scheduled."""
    first_s: float | None = None
    """When its first token came."""
    ended_s: float | None = None
    cached: int = 0
    computed: int = 0
    """Tokens of prompt, and after a preemption of answer, that were computed."""


@dataclass(slots=True)
class Step:
    """What one step has brought."""

    took_s: float = 0.0
    ended: list[Run] = field(default_factory=list)


class Engine:
    """Runs turns; the caller advances the clock by what each step took."""

    def __init__(
        self, shape: Shape, clock: Clock, make: Callable[..., Scheduler] = Scheduler
    ) -> None:
        self.shape = shape
        self.now = 0.0
        self.steps = 0
        self.preemptions = 0
        self.scheduler = _scheduler(shape, make)
        self._clock = clock
        self._runs: dict[str, Run] = {}

    @property
    def busy(self) -> int:
        """Turns that run or wait in the engine."""
        return len(self._runs)

    def add(
        self, session: int, turn: int, context: Context, prompt: list[int], answer: int, rank: int
    ) -> Run:
        """Hand a turn to the scheduler."""

        def hashed(request: Request) -> list[BlockHash]:
            return context.hash(len(request.block_hashes), request._all_token_ids)

        request = Request(
            request_id=f"{session}-{turn}",
            prompt_token_ids=prompt,
            sampling_params=SamplingParams(max_tokens=answer, ignore_eos=True, temperature=0.0),
            pooling_params=None,
            arrival_time=self.now,
            priority=rank,
            block_hasher=hashed,
            session_id=str(session),
        )
        run = Run(session, request, context, self.now)
        self._runs[request.request_id] = run
        self.scheduler.add_request(request)
        return run

    def step(self) -> Step:
        """Run one step. It took no time if nothing could be scheduled."""
        output = self.scheduler.schedule()
        step = Step()
        if not output.total_num_scheduled_tokens:
            self.scheduler.update_from_output(output, ModelRunnerOutput([], {}))
            return step
        self.steps += 1
        self.preemptions += len(output.preempted_req_ids or ())
        runs = [self._runs[name] for name in output.num_scheduled_tokens]
        step.took_s = self._time(runs, output.num_scheduled_tokens)
        began_s, self.now = self.now, self.now + step.took_s
        sampled = [_samples(run.request) for run in runs]
        for run in runs:
            if run.began_s is None:
                run.began_s = began_s
        names = list(output.num_scheduled_tokens)
        tokens = [[ANSWER] if has else [] for has in sampled]
        places = {name: place for place, name in enumerate(names)}
        self.scheduler.update_from_output(output, ModelRunnerOutput(names, places, tokens))
        for run, has in zip(runs, sampled, strict=True):
            if has:
                self._advance(run, step)
        return step

    def _time(self, runs: Sequence[Run], scheduled: dict[str, int]) -> float:
        scale = self.shape.scale
        decoding = context = 0
        chunks: list[Chunk] = []
        for run in runs:
            request = run.request
            count = scheduled[request.request_id]
            before = request.num_computed_tokens - count  # schedule() has already counted them
            if request.num_output_tokens and count == 1:
                decoding += 1
                context += before
                continue
            if run.began_s is None:
                run.cached = before
            run.computed += count
            chunks.append(Chunk(count * scale, before * scale))
        steps = scale if decoding else 0
        return self._clock.steps_s(steps, decoding, context * scale, chunks)

    def _advance(self, run: Run, step: Step) -> None:
        if run.first_s is None:
            run.first_s = self.now
        if run.request.is_finished():
            run.ended_s = self.now
            run.context.answered(run.request.num_output_tokens)
            del self._runs[run.request.request_id]
            step.ended.append(run)


def _samples(request: Request) -> bool:
    return bool(request.num_computed_tokens >= request.num_tokens)


def _scheduler(shape: Shape, make: Callable[..., Scheduler]) -> Scheduler:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(_MODEL))
        model = ModelConfig(model=folder, skip_tokenizer_init=True, max_model_len=8192, seed=0)
    model.max_model_len = _LONGEST
    scheduler = SchedulerConfig(
        max_num_batched_tokens=shape.batch // shape.scale,
        max_num_seqs=min(shape.sequences, shape.batch // shape.scale),
        max_model_len=_LONGEST,
        is_encoder_decoder=False,
        enable_chunked_prefill=True,
        policy="priority" if shape.by_priority else "fcfs",
        async_scheduling=False,
    )
    cache = CacheConfig(block_size=BLOCK, enable_prefix_caching=True)
    config = VllmConfig(
        model_config=model,
        scheduler_config=scheduler,
        cache_config=cache,
        device_config=DeviceConfig("cpu"),
    )
    cache.num_gpu_blocks = shape.pool // shape.scale // BLOCK + 1  # block 0 is vLLM's null block
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
    kv = KVCacheConfig(
        num_blocks=cache.num_gpu_blocks,
        kv_cache_tensors=[],
        kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
    )
    return make(
        vllm_config=config,
        kv_cache_config=kv,
        block_size=BLOCK,
        log_stats=False,
        structured_output_manager=StructuredOutputManager(config),
    )
