"""Host memory behind the KV cache: vLLM's own offloading connector, set up."""

import psutil
from vllm.config import KVTransferConfig
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM

from engine.config import EngineConfig
from engine.errors import StartFailed

GIB = 2**30

# vLLM's spec moves blocks by streams of a GPU; a CPU has none.
_ON_CPU = {"spec_name": "HostSpec", "spec_module_path": "engine.vllm.plugin.host_memory"}


def offloading(config: EngineConfig) -> dict[str, object]:
    """vLLM's arguments that keep blocks in host memory. Raises StartFailed where it can't work."""
    if "kv_transfer_config" in config.args:
        raise StartFailed(
            f"engine '{config.name}': host_memory_gib sets vLLM's KV connector up; leave it out, "
            "or leave 'kv_transfer_config' out of `args`"
        )
    if config.args.get("enable_prefix_caching") is False:
        raise StartFailed(
            f"engine '{config.name}': host_memory_gib keeps what prefix caching has found; leave "
            "it out, or leave 'enable_prefix_caching' out of `args`"
        )
    is_cpu = current_platform.is_cpu()
    if not (is_cpu or current_platform.is_cuda_alike() or current_platform.is_xpu()):
        raise StartFailed(
            f"engine '{config.name}': vLLM keeps no KV cache in host memory on the platform "
            f"'{current_platform.device_name}'; leave host_memory_gib out"
        )
    free = psutil.virtual_memory().available / GIB
    if config.host_memory_gib > free:
        raise StartFailed(
            f"engine '{config.name}': host_memory_gib is {config.host_memory_gib:g}, and "
            f"{free:.1f} GiB are free; lower it, or stop other programs"
        )
    # An agent's next prompt has its answers in it: they are worth keeping as well.
    extra: dict[str, object] = {"offload_prompt_only": False, **(_ON_CPU if is_cpu else {})}
    return {
        "kv_offloading_size": config.host_memory_gib,
        "kv_transfer_config": KVTransferConfig(kv_connector_extra_config=extra),
    }


async def require_a_block(llm: AsyncLLM, config: EngineConfig) -> None:
    """See that a running engine's host memory, if it has any, can keep something.

    Only the engine knows how large its blocks are. Raises StartFailed.
    """
    if not config.host_memory_gib or "scheduler_cls" in config.args:
        return  # another scheduler doesn't load our words to the core
    if not await llm.engine_core.call_utility_async("agent_host_blocks"):
        raise StartFailed(
            f"engine '{config.name}': host_memory_gib is {config.host_memory_gib:g}, and that "
            "holds not one block; raise it above kv_cache_gib, or leave it out"
        )
