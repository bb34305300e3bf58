"""vLLM's real scheduler and KV cache manager without a model: steps by hand, a clock by hand."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from engine.outlook import Outlook
from engine.vllm.plugin.scheduler import RETENTION, AgentScheduler

MODEL = Path(__file__).parents[2] / "models" / "demo"
BLOCK = 4
LONGEST = 512

Kind = type[Scheduler] | type[AsyncScheduler]


def config(blocks: int, *, policy: str, retention: bool, batched: int) -> VllmConfig:
    """Of a small model with a pool of so many blocks."""
    cache = CacheConfig(block_size=BLOCK, enable_prefix_caching=True)
    made = VllmConfig(
        model_config=ModelConfig(model=str(MODEL), max_model_len=LONGEST, dtype="float32"),
        scheduler_config=SchedulerConfig(
            max_num_batched_tokens=batched,
            max_num_seqs=16,
            max_model_len=LONGEST,
            is_encoder_decoder=False,
            enable_chunked_prefill=True,
            policy=policy,
            async_scheduling=False,
        ),
        cache_config=cache,
        device_config=DeviceConfig("cpu"),
        additional_config={RETENTION: retention},
    )
    cache.num_gpu_blocks = blocks + 1  # block 0 is vLLM's null block
    return made


class Rig:
    """One scheduler, stepped by hand; every request writes the tokens it is told to."""

    def __init__(
        self,
        kind: Kind,
        blocks: int,
        *,
        policy: str = "fcfs",
        retention: bool = True,
        batched: int = 64,
        step_s: float = 1.0,
    ) -> None:
        made = config(blocks, policy=policy, retention=retention, batched=batched)
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
        self.scheduler = kind(
            vllm_config=made,
            kv_cache_config=KVCacheConfig(
                num_blocks=blocks + 1,
                kv_cache_tensors=[],
                kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
            ),
            block_size=BLOCK,
            log_stats=False,
            structured_output_manager=StructuredOutputManager(made),
        )
        self.pool = self.scheduler.kv_cache_manager.block_pool
        init_none_hash(sha256)
        self._hasher = get_request_block_hasher(BLOCK, sha256)
        self.now = 0.0
        self.step_s = step_s
        self.cached: dict[str, int] = {}
        """Prompt tokens found in the cache, by request."""
        if isinstance(self.scheduler, AgentScheduler):
            self.scheduler.keeper.clock = lambda: self.now

    def add(
        self,
        name: str,
        prompt: Sequence[int],
        *,
        writes: int = 1,
        session: str | None = None,
        priority: int = 0,
    ) -> None:
        """A request comes."""
        self.scheduler.add_request(
            Request(
                request_id=name,
                prompt_token_ids=list(prompt),
                sampling_params=SamplingParams(max_tokens=writes, ignore_eos=True),
                pooling_params=None,
                arrival_time=self.now,
                block_hasher=self._hasher,
                session_id=session,
                priority=priority,
            )
        )

    def step(self) -> SchedulerOutput:
        """One step of the engine."""
        output = self.scheduler.schedule()
        ids = list(output.num_scheduled_tokens)
        sampled = []
        for name in ids:
            request = self.scheduler.requests[name]
            if name not in self.cached:
                first = request.num_computed_tokens - output.num_scheduled_tokens[name]
                self.cached[name] = first
            whole = request.num_computed_tokens >= request.num_tokens
            sampled.append([7] if whole else [])
        self.now += self.step_s
        self.scheduler.update_from_output(
            output,
            ModelRunnerOutput(
                req_ids=ids,
                req_id_to_index={name: index for index, name in enumerate(ids)},
                sampled_token_ids=sampled,
            ),
        )
        return output

    def run(self, most: int = 10_000) -> None:
        """Step until every request has ended."""
        for _ in range(most):
            if not self.scheduler.get_num_unfinished_requests():
                return
            self.step()
        raise AssertionError("requests don't end")

    def turn(
        self, session: str | None, prompt: Sequence[int], *, writes: int = 1, name: str = ""
    ) -> int:
        """One request from its coming to its end; the prompt tokens it found in the cache."""
        name = name or f"{session}@{self.now}"
        self.add(name, prompt, writes=writes, session=session)
        self.run()
        return self.cached[name]

    def expect(self, *outlooks: Outlook) -> None:
        """The gateway tells something."""
        assert isinstance(self.scheduler, AgentScheduler)
        self.scheduler.expect(outlooks)

    def abort(self, name: str) -> None:
        """The client of a request has gone."""
        self.scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)

    def check_blocks(self) -> None:
        """Every block is in use or in the free queue, exactly once."""
        queue = self.pool.free_block_queue
        free = queue.get_all_free_blocks()
        assert len(free) == queue.num_free_blocks == len({id(block) for block in free})
        assert all(block.ref_cnt == 0 for block in free)
        used = [block for block in self.pool.blocks[1:] if block.ref_cnt]
        assert len(free) + len(used) == len(self.pool.blocks) - 1


def tokens(count: int, seed: object) -> list[int]:
    """As many tokens as that, the same for the same seed."""
    rng = random.Random(str(seed))
    return [rng.randrange(100, 400) for _ in range(count)]


def scheduled(output: SchedulerOutput) -> Iterable[object]:
    """All that tells what a step does."""
    yield output.num_scheduled_tokens
    yield [
        (new.req_id, new.block_ids, new.num_computed_tokens) for new in output.scheduled_new_reqs
    ]
    again = output.scheduled_cached_reqs
    yield again.req_ids, again.new_block_ids, again.num_computed_tokens
    yield output.finished_req_ids, output.preempted_req_ids
