"""From the profile's words to a running AsyncLLM."""

import dataclasses
import difflib
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from vllm import envs
from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM

from engine.config import EngineConfig
from engine.errors import StartFailed
from engine.vllm.metrics import EngineCollector, LoadRecorder, stat_loggers
from engine.vllm.offloading import offloading
from engine.vllm.plugin.scheduler import RETENTION

SCHEDULER = "engine.vllm.plugin.scheduler.make_scheduler"

# Devices and the start method travel by the environment, of which a process has only one.
_environment = threading.Lock()


def launch(config: EngineConfig, recorder: LoadRecorder, collector: EngineCollector) -> AsyncLLM:
    """Start the engine and return when its model is loaded; blocks for seconds to minutes.

    Raises:
        StartFailed: an argument is wrong, or the engine's process could not start.
    """
    with _environment, _devices(config.devices), _fresh_settings():
        try:
            vllm_config = engine_args(config).create_engine_config(UsageContext.ENGINE_CONTEXT)
            if current_platform.is_cpu():
                _prepare_fork()
            return AsyncLLM.from_vllm_config(
                vllm_config, stat_loggers=stat_loggers(recorder, collector)
            )
        except StartFailed:
            raise
        except Exception as error:  # vLLM raises anything here, and all of it ends the start
            raise StartFailed(
                f"engine '{config.name}' could not start with model '{config.model}': {error}"
            ) from error


def kv_tokens(llm: AsyncLLM) -> int:
    """How many tokens the KV cache of a running engine holds."""
    cache = llm.vllm_config.cache_config
    return int(cache.num_gpu_blocks or 0) * int(cache.block_size)


def has_sleep_mode(llm: AsyncLLM) -> bool:
    """Whether the engine gives up its memory when it sleeps."""
    return bool(llm.model_config.enable_sleep_mode)


def can_sleep(llm: AsyncLLM, config: EngineConfig) -> bool:
    """Whether the engine was started so that it can sleep.

    A platform without sleep mode (CPUs) only rests: it drops its cached prompts and runs nothing.
    """
    return has_sleep_mode(llm) or (config.spare and not current_platform.is_sleep_mode_available())


def engine_args(config: EngineConfig) -> AsyncEngineArgs:
    """vLLM's arguments for `config`. Raises StartFailed for a name vLLM doesn't know."""
    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    for name in config.args:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise StartFailed(f"engine '{config.name}': vLLM has no argument '{name}'{hint}")
    named: dict[str, object] = {
        "model": config.model,
        "served_model_name": [config.model_name],
        "dtype": config.dtype,
        "max_model_len": config.max_model_len,
        "scheduling_policy": config.scheduling,
        "scheduler_cls": SCHEDULER,
        "reasoning_parser": config.reasoning_parser or "",
    }
    if config.spare and current_platform.is_sleep_mode_available():
        named["enable_sleep_mode"] = True
    if config.kv_cache_gib is not None:
        named["kv_cache_memory_bytes"] = int(config.kv_cache_gib * 2**30)
    if config.host_memory_gib:
        named |= offloading(config)
    twice = sorted(named.keys() & config.args.keys() - {"scheduler_cls"})
    if twice:
        raise StartFailed(
            f"engine '{config.name}': say '{twice[0]}' beside `args`, not inside them"
        )
    args: dict[str, object] = {**named, **config.args}
    if not config.retention:
        ours = {RETENTION: False}
        args["additional_config"] = {**_mapping(config, "additional_config"), **ours}
    structured = config.args.get("structured_outputs_config")
    if isinstance(structured, dict):
        # vLLM turns its other configurations into objects by itself, and sets a field of this one.
        args["structured_outputs_config"] = StructuredOutputsConfig(**structured)
    return AsyncEngineArgs(**args)


def _mapping(config: EngineConfig, name: str) -> dict[str, object]:
    value = config.args.get(name, {})
    if not isinstance(value, dict):
        raise StartFailed(f"engine '{config.name}': '{name}' in `args` must be a mapping")
    return dict(value)


def _prepare_fork() -> None:
    # The CPU platform asks for spawn, inside create_engine_config: three imports of vLLM, 20 s.
    # Forked from a parent that has imported everything, an engine is ready in 3 to 4 s.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
    # vLLM's bf16 kernels use AMX where the CPU has it, without asking Linux for the permission;
    # the first token then ends in SIGILL. Asked for here, forked processes inherit it.
    if torch.cpu._is_amx_tile_supported():
        torch.cpu._init_amx()
    for module in (
        "vllm.v1.worker.cpu_worker",
        "vllm.v1.engine.core",
        "vllm.v1.executor.multiproc_executor",
        "engine.vllm.plugin.scheduler",
    ):
        importlib.import_module(module)


@contextmanager
def _fresh_settings() -> Iterator[None]:
    """Let vLLM read its variables anew for this engine, and remember them once it runs.

    Its EngineCore remembers by itself; here nobody does, and a variable is read for every token.
    """
    envs.disable_envs_cache()
    try:
        yield
    finally:
        envs.enable_envs_cache()


@contextmanager
def _devices(devices: tuple[int, ...] | None) -> Iterator[None]:
    if devices is None:
        yield
        return
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(device) for device in devices)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before
