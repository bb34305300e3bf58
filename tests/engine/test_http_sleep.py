"""Sending a vLLM server to sleep and waking it."""

import asyncio

import pytest

from engine.errors import CannotSleep, EngineAway, EngineFailed, StartFailed
from engine.http.load import read
from engine.types import Finished
from tests.engine.http_calls import ask, call
from tests.parts.upstream import Upstream, says

PAGE = (
    'vllm:num_requests_running 0.0\nvllm:engine_sleep_state{{engine="0",sleep_state="awake"}} {}\n'
)
AWAKE, ASLEEP = PAGE.format("1.0"), PAGE.format("0.0")


async def test_a_server_sleeps_and_is_woken() -> None:
    upstream = Upstream(says())
    upstream.sleeps = False
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(spare=True)
        await engine.start()
        assert upstream.probes == 1
        await engine.sleep()
        assert upstream.sleeps and engine.load().is_asleep
        await engine.wake()
        assert not upstream.sleeps and not engine.load().is_asleep
        assert isinstance((await ask(engine, call()))[-1], Finished)
        await engine.close()
    assert upstream.orders == ["/sleep?level=1&mode=wait", "/wake_up"], "what runs is not aborted"


async def test_a_spare_that_sleeps_already_is_not_asked_for_a_token() -> None:
    """It would be waited for in vain, and be taken for away."""
    upstream = Upstream(says())
    upstream.sleeps = True
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(spare=True)
        await engine.start()
        assert engine.load().is_asleep and not upstream.probes
        await engine.close()


async def test_a_spare_without_sleep_endpoints_stops_the_start_and_says_the_remedy() -> None:
    upstream = Upstream(says())
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(spare=True)
        with pytest.raises(StartFailed, match="VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode"):
            await engine.start()
        await engine.close()


async def test_a_server_that_does_not_do_what_it_is_told_is_no_sleeper() -> None:
    upstream = Upstream(says())
    upstream.sleeps, upstream.heeds = False, False
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine()
        await engine.start()
        with pytest.raises(CannotSleep, match="start vLLM with --enable-sleep-mode"):
            await engine.sleep()
        assert not engine.load().is_asleep
        upstream.sleeps = True
        with pytest.raises(EngineFailed, match="sleeps on"):
            await engine.wake()
        await engine.close()
    with pytest.raises(EngineAway):
        await engine.sleep()


@pytest.mark.parametrize(
    ("page", "asleep"),
    [
        (AWAKE, False),
        (ASLEEP, True),
        (AWAKE + ASLEEP.replace('"0"', '"1"'), True),
        (ASLEEP.replace('sleep_state="awake"', 'sleep_state="discard_all"'), None),
        ("vllm:num_requests_running 0.0\n", None),
    ],
)
def test_sleep_is_read_from_the_page(page: str, asleep: bool | None) -> None:
    assert read(page.encode()).is_asleep is asleep


async def test_a_server_that_others_send_to_sleep_is_seen_to_sleep() -> None:
    upstream = Upstream(says(), metrics=AWAKE)
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(http={"load_s": 0.001})
        await engine.start()
        for page, asleep in ((ASLEEP, True), (AWAKE, False)):
            upstream.metrics = page
            while engine.load().is_asleep is not asleep:
                await engine.check_health(5)
        await engine.close()
