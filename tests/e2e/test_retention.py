"""What the gateway knows of sessions, in the core of a real engine with a small KV cache."""

import asyncio
from typing import Any

import pytest

from engine.vllm.backend import VllmEngine
from gateway.config import GatewayConfig
from tests.e2e.conftest import House, demo_config, house
from tests.parts.tools import ScriptedTool, tools_service

pytestmark = pytest.mark.real

MCP = {"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}
SUM = [{"role": "user", "content": "What is 12 + 30?"}]


async def _core(it: House) -> dict[str, int]:
    """How retention stands in the engine's core, once it has taken what was told."""
    engine = it.engine
    assert isinstance(engine, VllmEngine) and engine._llm is not None
    return dict(await engine._llm.engine_core.call_utility_async("agent_stats"))


def _evicted(it: House, stand: str) -> float:
    """Blocks given up, as `/metrics` has them."""
    labels = {"engine": it.engine.name, "stand": stand}
    name = "roundhouse_retention_evicted_blocks_total"
    return it.gateway.registry.get_sample_value(name, labels) or 0.0


async def _others(it: House, first: int, last: int) -> None:
    """Sessions that come, have one answer and end; together they want more than the whole cache."""
    async with it.client() as client:
        for number in range(first, last):
            await client.chat.completions.create(
                model="demo",
                messages=[{"role": "user", "content": f"{number} " * 120}],
                max_tokens=2,
                extra_headers={
                    "x-session-id": f"other-{number}",
                    "x-roundhouse-session-final": "true",
                },
            )


async def _cached_after_a_tool(is_kept: bool) -> tuple[int, int, dict[str, int]]:
    """Tokens cached and prompted, of a request whose tool takes as long as others need."""
    gate = asyncio.Event()
    tool = ScriptedTool("calculate", text='{"result":42}', gate=gate, expected_s=(0.5, 1.5))
    config = demo_config(
        "tight",
        max_model_len=512,
        retention=is_kept,
        args={"num_gpu_blocks_override": 24},
    )
    async with tools_service(tool) as url:
        settings: dict[str, Any] = {
            "port": 0,
            "tools": {"url": url},
            "programs": {"enabled": False},
            "retention": {"enabled": is_kept},
        }
        gateway = GatewayConfig.model_validate(settings)
        async with house(gateway, config) as it, it.client() as client, asyncio.timeout(60):
            asking = asyncio.create_task(
                client.chat.completions.create(
                    model="demo",
                    messages=SUM,  # type: ignore[arg-type]
                    tools=[MCP],  # type: ignore[list-item]
                    temperature=0,
                    extra_headers={"x-session-id": "agent"},
                )
            )
            waiting = asyncio.create_task(tool.started.wait())
            await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            assert tool.started.is_set(), asking.result()
            await _others(it, 0, 6)
            stats = await _core(it)
            while is_kept and _evicted(it, "done") < stats["evicted_done"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the core's answer to the last outlook is on its way
            gate.set()
            usage = (await asking).usage
    assert usage is not None and usage.prompt_tokens_details is not None
    cached = usage.prompt_tokens_details.cached_tokens
    assert cached is not None
    return cached, usage.prompt_tokens, stats


async def test_a_turn_after_a_tool_finds_its_context_because_others_were_known_to_be_done() -> None:
    cached, prompted, stats = await _cached_after_a_tool(is_kept=True)
    # Two turns were prompted, of which the second finds nearly all that the first computed.
    assert cached > 0.3 * prompted
    assert stats["evicted_done"] > 0
    assert (stats["evicted_away"], stats["returned"]) == (0, 0)


async def test_without_the_feature_the_same_turn_computes_all_of_it_again() -> None:
    cached, _, stats = await _cached_after_a_tool(is_kept=False)
    assert cached == 0
    assert stats["sessions"] == 0
