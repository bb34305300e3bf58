"""A real engine sleeps and wakes.

vLLM's CPU platform has no sleep mode: its workers keep their memory. All else is as on a GPU: the
scheduler stands still, the cached prompts are gone, and the engine must be woken to answer.
"""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from engine.build import build
from engine.errors import CannotSleep, EngineAway
from engine.probe import answer_token
from gateway.config import GatewayConfig
from gateway.spares_config import SparesConfig
from tests.e2e.conftest import House, demo_config, house

pytestmark = pytest.mark.real

SYSTEM = {"role": "system", "content": "You are one of many agents. " * 40}


async def chat(it: House, session: str) -> tuple[str, int]:
    """The engine that answered, and how many prompt tokens it found in its cache."""
    async with it.client() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="demo",
            messages=[SYSTEM, {"role": "user", "content": "Hello"}],  # type: ignore[list-item]
            max_tokens=8,
            extra_headers={"x-session-id": session},
        )
    usage: Any = raw.parse().usage
    return raw.headers["x-roundhouse-engine"], usage.prompt_tokens_details.cached_tokens


async def test_a_real_spare_sleeps_is_woken_and_serves_again() -> None:
    engines = [
        demo_config("only", served_name="demo"),
        demo_config("spare", served_name="demo", spare=True),
    ]
    spares = SparesConfig(sleep_after_s=1e6)
    config = GatewayConfig(admin_key=SecretStr("k"), spares=spares)
    async with house(config, *engines) as it, asyncio.timeout(60):
        spare = it.gateway.fleet.members["spare"]
        assert (await chat(it, "first"))[0] == "only"
        assert (await chat(it, "second"))[0] == "spare"
        again, cached = await chat(it, "second")
        assert again == "spare" and cached > 0
        await it.gateway.standby.sleep(spare, "operator")
        with pytest.raises(EngineAway, match="sleeps"):
            await answer_token(spare.engine, 5)
        await spare.engine.check_health(5)  # asleep, not hung
        assert (await chat(it, "second"))[0] == "only"
        assert (await chat(it, "third"))[0] == "only"
        await it.gateway.standby.wake(spare, "operator")
        back, cached = await chat(it, "fourth")
        assert (back, cached) == ("spare", 0), "its cache was dropped"
        await it.gateway.standby.sleep(spare, "operator")  # a sleeper stops as well as others


async def test_an_engine_that_is_no_spare_says_how_it_could_sleep() -> None:
    engine = build(demo_config())
    await engine.start()
    try:
        with pytest.raises(CannotSleep, match="spare: true"):
            await engine.sleep()
        await answer_token(engine, 10)
    finally:
        await engine.close()
