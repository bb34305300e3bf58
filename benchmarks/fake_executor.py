"""A vLLM executor without a model: the real EngineCore and scheduler, made-up tokens, fixed steps.

Named by dotted path (`--distributed-executor-backend benchmarks.fake_executor.FakeExecutor`);
the step time in milliseconds is read from the environment variable BENCH_STEP_MS. A request that
brings token ids in `vllm_xargs`, under "script", gets them as its answer, one a step or as many as
"script_step" says; the last must end it.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

import torch
from vllm import SamplingParams
from vllm.v1.core.sched.output import GrammarOutput, SchedulerOutput
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheSpec
from vllm.v1.outputs import DraftTokenIds, ModelRunnerOutput

from benchmarks.fake_step import SCRIPT, SCRIPT_STEP, SEED, STEP_VARIABLE, StepClock

# Far more than 256 streams of a few thousand tokens need: nothing is ever preempted.
_KV_BYTES = 2 << 30
_LAYERS = 4
# Special tokens sit at either end of a vocabulary and decode to nothing.
_FIRST_PLAIN, _LAST_PLAIN = 300, 4000
_CYCLE = 8192

_T = TypeVar("_T")


class FakeExecutor(Executor):  # type: ignore[misc]  # vllm's own types are skipped here
    """Sleeps for a step instead of computing it, as a GPU leaves the CPU idle."""

    def _init_executor(self) -> None:
        self._clock = StepClock(float(os.environ.get(STEP_VARIABLE, "8")) / 1e3)
        self._prompt_tokens: dict[str, int] = {}
        self._scripts: dict[str, tuple[Iterator[int], int]] = {}
        vocabulary = self.model_config.get_vocab_size()
        # The top of a small vocabulary is left out: added tokens such as <tool_call>.
        plain = range(min(_FIRST_PLAIN, vocabulary // 4), min(_LAST_PLAIN, vocabulary * 15 // 16))
        self._tokens = random.Random(SEED).choices(plain, k=_CYCLE)
        self._emitted = 0

    def execute_model(
        self, scheduler_output: SchedulerOutput, non_block: bool = False
    ) -> ModelRunnerOutput | Future[ModelRunnerOutput]:
        """One token for every request whose prompt is done, after the step's time."""
        scheduled = scheduler_output.num_scheduled_tokens
        for request_id in scheduler_output.finished_req_ids:
            self._prompt_tokens.pop(request_id, None)
            self._scripts.pop(request_id, None)
        computed: dict[str, int] = {}
        for new in scheduler_output.scheduled_new_reqs:
            self._prompt_tokens[new.req_id] = len(new.prompt_token_ids or ())
            if (script := _script(new.sampling_params)) is not None:
                self._scripts[new.req_id] = script
            computed[new.req_id] = new.num_computed_tokens
        cached = scheduler_output.scheduled_cached_reqs
        computed.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        sampled = [
            self._sample(request_id, done + scheduled[request_id])
            for request_id, done in computed.items()
        ]
        if computed:
            time.sleep(self._clock.wait_s(time.perf_counter()))
        output = ModelRunnerOutput(
            req_ids=list(computed),
            req_id_to_index={request_id: i for i, request_id in enumerate(computed)},
            sampled_token_ids=sampled,
        )
        return _settled(output) if non_block else output

    def _sample(self, request_id: str, computed: int) -> list[int]:
        if computed < self._prompt_tokens[request_id]:
            return []
        if (script := self._scripts.get(request_id)) is not None:
            return list(islice(*script))
        self._emitted += 1
        return [self._tokens[self._emitted % _CYCLE]]

    def sample_tokens(
        self, grammar_output: GrammarOutput | None, non_block: bool = False
    ) -> ModelRunnerOutput:
        """Never asked for: `execute_model` has sampled already."""
        raise NotImplementedError

    def get_kv_cache_specs(self) -> list[dict[str, KVCacheSpec]]:
        """A small attention cache, so that real blocks are given out."""
        block = FullAttentionSpec(
            block_size=self.cache_config.block_size or 16,
            num_kv_heads=2,
            head_size=64,
            dtype=torch.bfloat16,
        )
        return [{f"model.layers.{i}.self_attn.attn": block for i in range(_LAYERS)}]

    def determine_available_memory(self) -> list[int]:
        """Bytes for the key-value cache."""
        return [_KV_BYTES]

    def get_supported_kv_cache_layouts(self) -> list[list[str]]:
        """Any will do, nothing is stored."""
        return [["NHD"]]

    def set_kv_cache_layout(self, layout_name: str) -> None:
        """Record the layout as a worker would."""
        self.cache_config.kv_cache_layout = layout_name

    def initialize_from_config(self, kv_cache_configs: list[KVCacheConfig]) -> None:
        """Nothing to allocate."""

    def compile_or_warm_up_model(self) -> None:
        """Nothing to warm up."""

    @property
    def supported_tasks(self) -> tuple[str, ...]:
        """Generation only."""
        return ("generate",)

    def supports_draft_weight_updates(self) -> bool:
        """There are no weights."""
        return False

    def get_kv_connector_handshake_metadata(self) -> list[dict[tuple[int, int], object]]:
        """No connector."""
        return []

    def collective_rpc(
        self,
        method: str | Callable[..., object],
        timeout: float | None = None,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
        non_block: bool = False,
    ) -> list[None] | Future[list[None]]:
        """There are no workers: every call succeeds with nothing."""
        return _settled([None]) if non_block else [None]

    def take_draft_token_ids(self) -> DraftTokenIds | None:
        """No drafts."""
        return None

    def execute_dummy_batch(self) -> None:
        """Nothing to do."""

    def check_health(self) -> None:
        """Always well."""

    def shutdown(self) -> None:
        """Nothing to stop."""

    @classmethod
    def supports_async_scheduling(cls) -> bool:
        """Steps are synchronous, as on the CPU platform."""
        return False


def _script(params: SamplingParams | None) -> tuple[Iterator[int], int] | None:
    """The tokens of an answer, and how many of them come in a step."""
    extra = (params.extra_args if params is not None else None) or {}
    found, step = extra.get(SCRIPT), extra.get(SCRIPT_STEP, 1)
    return (iter(found), int(step)) if isinstance(found, list) else None


def _settled(value: _T) -> Future[_T]:
    future: Future[_T] = Future()
    future.set_result(value)
    return future
