"""Real engines that die and hang while many are served: every request has one outcome."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import psutil
import pytest

from gateway.config import GatewayConfig
from tests.e2e.conftest import House, demo_config, house, until
from tests.e2e.test_failures import LONG

pytestmark = pytest.mark.real

SESSIONS = 12
TOKENS = 400
DONE = b"data: [DONE]\n\n"


@asynccontextmanager
async def two_engines(
    hang_s: float = 120, **failures: float
) -> AsyncIterator[tuple[House, aiohttp.ClientSession]]:
    names = ("east", "west")
    engines = (demo_config(name, served_name="demo", hang_s=hang_s) for name in names)
    config = GatewayConfig.model_validate({"port": 0, "failures": failures})
    async with house(config, *engines) as both, aiohttp.ClientSession(both.url) as http:
        yield both, http


async def ask(http: aiohttp.ClientSession, session: int, tokens: int) -> tuple[str, str]:
    """The engine of a streamed turn, and how it ended, which it does once; "" if refused."""
    body = {"model": "demo", "messages": LONG["messages"], "max_tokens": tokens}
    body |= {"stream": True, "ignore_eos": True, "session_id": f"s-{session}"}
    async with http.post("/v1/chat/completions", json=body) as answer:
        content = await answer.read()
    if answer.status == 429:
        assert 1 <= int(answer.headers["retry-after"]) <= 59
        return "", "refused"
    assert answer.status == 200, content
    errors = [line for line in content.split(b"\n\n") if line.startswith(b'data: {"error"')]
    assert content.count(DONE) + len(errors) == 1
    end = "ok"
    if errors:
        end = msgspec.json.decode(errors[0].removeprefix(b"data: "))["error"]["code"]
    return answer.headers["x-roundhouse-engine"], end


async def ask_all(http: aiohttp.ClientSession, tokens: int) -> list[tuple[str, str]]:
    return await asyncio.gather(*(ask(http, number, tokens) for number in range(SESSIONS)))


def running(both: House) -> int:
    return sum(engine.load().running for engine in both.gateway.engines)


def counted(both: House) -> dict[str, float]:
    """How the gateway says that requests have ended."""
    found: Counter[str] = Counter()
    for family in both.gateway.metrics.requests.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.value:
                found[sample.labels["outcome"]] += int(sample.value)
    return dict(found)


def a_core() -> psutil.Process:
    """The newest EngineCore process: one of the two."""
    cores = [p for p in psutil.Process().children() if "EngineCore" in " ".join(p.cmdline())]
    return max(cores, key=lambda p: p.create_time())


async def busy(
    both: House, http: aiohttp.ClientSession
) -> tuple[list[str], asyncio.Task[list[tuple[str, str]]]]:
    """All sessions with a long turn running: where they are at home, and how they will end."""
    homes = [engine for engine, _ in await ask_all(http, tokens=1)]
    assert set(homes) == {"east", "west"}
    asking = asyncio.create_task(ask_all(http, TOKENS))
    await until(lambda: running(both) == SESSIONS)
    return homes, asking


async def test_the_death_of_an_engine_core_under_load_costs_its_turns_and_no_other() -> None:
    async with two_engines() as (both, http):
        homes, asking = await busy(both, http)
        a_core().kill()
        ends = await asking  # which are told by their engine itself, before the watch over it
        await until(lambda: any(engine.died.is_set() for engine in both.gateway.engines))
        (dead,) = [engine.name for engine in both.gateway.engines if engine.died.is_set()]
        assert ends == [(home, "engine_unavailable" if home == dead else "ok") for home in homes]
        (alive,) = {"east", "west"} - {dead}
        assert await ask_all(http, tokens=1) == [(alive, "ok")] * SESSIONS
        lost = homes.count(dead)
        assert counted(both) == {"ok": 3 * SESSIONS - lost, "engine_error": lost}


async def test_a_hung_engine_core_under_load_gets_no_more_turns_and_loses_none() -> None:
    async with two_engines(probe_s=0.1, probe_max_s=0.1, probe_timeout_s=2) as (both, http):
        homes, asking = await busy(both, http)
        core = a_core()
        core.suspend()
        try:
            members = both.gateway.fleet.members.values()
            await until(lambda: any(member.health.is_ejected for member in members))
            (hung,) = [member.engine.name for member in members if member.health.is_ejected]
            (alive,) = {"east", "west"} - {hung}
            assert await ask_all(http, tokens=1) == [(alive, "ok")] * SESSIONS
        finally:
            core.resume()
        assert await asking == [(home, "ok") for home in homes]
        await until(lambda: not any(member.health.is_ejected for member in members))
        assert counted(both) == {"ok": 3 * SESSIONS}


async def test_an_engine_core_that_hangs_for_too_long_loses_its_turns_and_no_other() -> None:
    async with two_engines(hang_s=2, probe_s=0.1, probe_max_s=0.1) as (both, http):
        homes, asking = await busy(both, http)
        core = a_core()
        core.suspend()
        try:
            ends = await asking
        finally:
            core.resume()
        (hung,) = {home for home, end in ends if end != "ok"}
        assert ends == [(home, "engine_unavailable" if home == hung else "ok") for home in homes]
        lost = homes.count(hung)
        assert counted(both) == {"ok": 2 * SESSIONS - lost, "engine_error": lost}
        members = both.gateway.fleet.members.values()
        await until(lambda: not any(member.health.is_ejected for member in members))
        await until(lambda: running(both) == 0)
        made = sum(engine.load().generated_tokens for engine in both.gateway.engines)
        assert made < (SESSIONS + 1) * TOKENS, "what was given up is not generated to its end"


async def test_a_real_engine_with_ten_times_too_much_to_do_serves_what_it_can() -> None:
    settings = {"port": 0, "queue": {"running": 4, "waiting": 4}}
    config = GatewayConfig.model_validate(settings)
    async with (
        house(config, demo_config()) as small,
        aiohttp.ClientSession(small.url, connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        await ask(http, 0, tokens=1)
        before = small.engine.load().generated_tokens
        ends = await asyncio.gather(*(ask(http, number, tokens=100) for number in range(80)))
        found = Counter(end for _, end in ends)
        assert found.keys() == {"ok", "refused"} and found["ok"] >= 8
        assert counted(small) == {"ok": found["ok"] + 1, "refused": found["refused"]}
        made = small.engine.load().generated_tokens - before
        assert made == 100 * found["ok"], "none was run twice, and none of the refused at all"
        assert await ask(http, 0, tokens=1) == ("demo", "ok")
