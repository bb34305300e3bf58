"""What we rely on in vLLM beyond its documented face: fails loudly when that seam moves."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import vllm
from vllm import envs
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.parser.abstract_parser import DelegatingParser, Parser
from vllm.renderers.base import BaseRenderer
from vllm.renderers.chat_utils import make_tool_call_id
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_coordinator import KVCacheCoordinator
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.engine.core_client import AsyncMPClient
from vllm.v1.engine.output_processor import OutputProcessor
from vllm.v1.kv_offload.base import OffloadingWorker, TransferResult
from vllm.v1.kv_offload.cpu.spec import CPUOffloadingSpec
from vllm.v1.metrics.loggers import PrometheusStatLogger, StatLoggerBase
from vllm.v1.metrics.stats import IterationStats, SchedulerStats

from engine.vllm.plugin import scheduler
from engine.vllm.serving import UNSERVED
from gateway.conversation import is_opaque


def test_the_minor_version_is_the_one_this_was_written_for() -> None:
    assert vllm.__version__.startswith("0.32.")


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (AsyncLLM.generate, {"prompt", "sampling_params", "request_id", "priority", "session_id"}),
        (AsyncLLM.generate, {"reasoning_ended", "reasoning_parser_kwargs"}),
        (AsyncLLM.from_vllm_config, {"vllm_config", "stat_loggers"}),
        (AsyncLLM.shutdown, {"timeout"}),
        (AsyncLLM.is_paused, set()),
        (OutputProcessor.propagate_error, {"e"}),
        (AsyncLLM.sleep, {"level", "mode"}),
        (AsyncLLM.wake_up, set()),
        (AsyncLLM.get_num_unfinished_requests, set()),
        (AsyncEngineArgs.create_engine_config, {"usage_context"}),
        (OpenAIServingChat.__init__, {"online_renderer", "tool_strict_level", "tool_parser"}),
        (OpenAIServingChat.render_chat_request, {"request"}),
        (OpenAIServingChat._make_parser, {"request", "tokenizer", "chat_template_kwargs"}),
        (OpenAIServingChat._effective_chat_template_kwargs, {"request"}),
        (OpenAIServingChat._engine_reasoning_kwargs, {"request", "parser", "prompt_token_ids"}),
        (OpenAIServingChat._create_chat_logprobs, {"token_ids", "top_logprobs", "tokenizer"}),
        (OpenAIServingChat.beam_search, {"prompt", "request_id", "params"}),
        (OpenAIServingCompletion.create_completion, {"request"}),
        (OnlineRenderer.__init__, {"model_config", "renderer", "tool_strict_level"}),
        (OnlineRenderer._make_request_with_harmony, {"request", "should_include_tools"}),
        (BaseRenderer.render_messages_async, {"messages", "params"}),
        (BaseRenderer.tokenize_prompt_async, {"prompt", "params"}),
        (Parser.parse, {"model_output", "request", "enable_auto_tools"}),
        (Parser.parse_delta, {"delta_text", "delta_token_ids", "request", "finished"}),
        (Parser.count_reasoning_tokens, {"token_ids"}),
        (StatLoggerBase.record, {"scheduler_stats", "iteration_stats", "engine_idx"}),
        (Scheduler.__init__, {"vllm_config"}),
        (Scheduler._free_request_blocks, {"request"}),
        (Scheduler._free_request, {"request"}),
        (Scheduler.add_request, {"request"}),
        (Scheduler.reset_prefix_cache, set()),
        (KVCacheCoordinator.get_blocks, {"request_id"}),
        (AsyncMPClient.call_utility_async, {"method"}),
        (AsyncMPClient.call_utility_all_async, {"method"}),
        (CPUOffloadingSpec.__init__, {"config"}),
        (CPUOffloadingSpec.get_worker, {"kv_caches"}),
        (OffloadingWorker.submit_store, {"job_id", "src_spec", "dst_spec"}),
        (OffloadingWorker.submit_load, {"job_id", "src_spec", "dst_spec"}),
        (TransferResult, {"job_id", "success", "transfer_size", "transfer_time"}),
        (envs.enable_envs_cache, set()),
        (envs.disable_envs_cache, set()),
    ],
)
def test_what_we_call_takes_what_we_give(function: Callable[..., Any], names: set[str]) -> None:
    assert names <= inspect.signature(function).parameters.keys()


def test_the_statistics_we_read_are_there() -> None:
    assert {"num_preempted_reqs", "num_prompt_tokens", "num_generation_tokens"} <= set(
        dir(IterationStats())
    )
    stats = SchedulerStats()
    assert {"num_running_reqs", "num_waiting_reqs", "num_skipped_waiting_reqs"} <= set(dir(stats))
    assert {"_gauge_cls", "_counter_cls", "_histogram_cls"} <= set(vars(PrometheusStatLogger))


def test_a_prompt_tokenized_elsewhere_has_a_way_in() -> None:
    for render in (OnlineRenderer.preprocess_chat, OnlineRenderer._make_request_with_harmony):
        assert "_reused_prompt_token_ids" in inspect.getsource(render)


def test_a_parser_that_only_passes_text_on_can_be_told() -> None:
    assert "_engine_based" in inspect.getsource(DelegatingParser)


def test_the_fields_we_refuse_are_still_the_ones_vllm_ignores() -> None:
    assert ChatCompletionRequest.model_fields.keys() >= UNSERVED
    assert "return_token_offsets" in CompletionRequest.model_fields


def test_vllms_tool_call_ids_are_random_enough_to_lead_back_to_a_session() -> None:
    """All but the ids of models that number their calls anew in every conversation."""
    assert is_opaque(make_tool_call_id(), "search")
    for name in ("search", "search_the_whole_library"):
        assert not is_opaque(make_tool_call_id("kimi_k2", name, 10), name)


def test_blocks_are_handed_out_at_the_one_door_that_retention_watches() -> None:
    source = inspect.getsource(BlockPool)
    assert source.count("free_block_queue.popleft_n(") == 1
    assert source.count("free_block_queue.popleft(") == 1  # the null block, once
    assert "free_block_queue.remove(block)" in inspect.getsource(BlockPool.touch)


def test_a_word_to_the_engines_core_is_a_method_of_its_process() -> None:
    assert "getattr(self, method_name)" in inspect.getsource(EngineCoreProc)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("agent_expect", ["outlooks"]),
        ("agent_has_room", ["session", "tokens"]),
        ("agent_host_blocks", []),
        ("agent_stats", []),
    ],
)
def test_our_words_are_methods_of_the_core_once_the_scheduler_is_loaded(
    word: str, told: list[str]
) -> None:
    """vLLM loads the plugin by the scheduler's name, and by that alone."""
    method = getattr(EngineCoreProc, word)
    assert method.__module__ == scheduler.__name__
    assert list(inspect.signature(method).parameters)[1:] == told
