"""How a gateway begins and how it ends."""

import asyncio

import pytest

from engine.errors import StartFailed
from gateway.app import Gateway
from gateway.config import GatewayConfig
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import Answer, served

HELLO = turn(text("Hel", "lo"))


async def test_stopping_refuses_newcomers_and_lets_the_running_end() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([*HELLO[:2], gate, *HELLO[2:]])
    async with served(engine) as it, asyncio.timeout(5):
        running = asyncio.create_task(it.chat(stream=True))
        await engine.asked.wait()
        stopping = asyncio.create_task(it.gateway.stop())
        ready = await it.ask("GET", "/readyz")
        assert (ready.status, ready.json["status"]) == (503, "stopping")
        newcomer = await it.chat()
        assert (newcomer.status, newcomer.error["code"]) == (503, "shutting_down")
        assert newcomer.headers["retry-after"] == "1"
        assert not running.done()
        gate.set()
        await stopping
        assert (await running).content.endswith(b"data: [DONE]\n\n")
    assert it.outcomes() == {"ok": 1, "stopped": 1}


async def test_stopping_refuses_those_that_wait() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1}) as it, asyncio.timeout(5):
        running = asyncio.create_task(it.chat())
        await engine.asked.wait()
        waiting = asyncio.create_task(it.chat())
        while not it.gateway.queue.depth:
            await it.ask("GET", "/livez")
        stopping = asyncio.create_task(it.gateway.stop())
        assert (await waiting).error["code"] == "shutting_down"
        gate.set()
        await stopping
        assert (await running).status == 200
    assert it.outcomes() == {"ok": 1, "stopped": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_does_not_end_in_time_is_told_so(stream: bool) -> None:
    engine = ScriptedEngine([*HELLO[:2], asyncio.Event()])
    async with served(engine, shutdown_s=0.001) as it, asyncio.timeout(5):
        running = asyncio.create_task(it.chat(stream=stream))
        await engine.asked.wait()
        await it.gateway.stop()
        _expect_cut_off(await running, stream)
        assert it.gateway.queue.running == 0
    assert it.outcomes() == {"engine_error": 1}


def _expect_cut_off(answer: Answer, stream: bool) -> None:
    if stream:
        assert answer.status == 200
        assert b"engine_unavailable" in answer.content.split(b"\n\n")[-2]
    else:
        assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")


async def test_stopping_twice_is_stopping_once() -> None:
    async with served(ScriptedEngine(HELLO)) as it, asyncio.timeout(5):
        await it.gateway.stop()
        await it.gateway.stop()


async def test_a_gateway_serves_when_its_slowest_engine_has_started() -> None:
    slow = ScriptedEngine(HELLO, name="slow")
    slow.start_gate = asyncio.Event()
    gateway = Gateway(GatewayConfig(), [ScriptedEngine(HELLO), slow], None)
    serving, leave = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with gateway.running():
            serving.set()
            await leave.wait()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(serve())
        await asyncio.sleep(0)
        assert not serving.is_set()
        slow.start_gate.set()
        await serving.wait()
        leave.set()
    assert slow.died.is_set(), "closed at the end"


async def test_an_engine_that_cannot_start_stops_the_others() -> None:
    failing, other = ScriptedEngine(HELLO, name="failing"), ScriptedEngine(HELLO, name="other")
    failing.start_failure = StartFailed("no memory")
    gateway = Gateway(GatewayConfig(), [failing, other], None)
    with pytest.raises(ExceptionGroup) as caught:
        async with gateway.running():
            raise AssertionError("started")
    assert [str(error) for error in caught.value.exceptions] == ["no memory"]
    assert other.died.is_set()
