"""What breaks while many are served: every request has one outcome, and they are counted."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest

from tests.gateway.test_chaos import ask_all, fleet
from tests.parts.engine import ScriptedEngine
from tests.parts.gateway_process import GatewayProcess, gateway_process
from tests.parts.redis_server import redis_server, until
from tests.parts.scripts import text, turn
from tests.parts.served import Served, served
from tests.parts.upstream import DONE, HELLO, Upstream, breaks_off, floods, says

CHAT = "/v1/chat/completions"
HI = turn(text("Hel", "lo"))
MIB = 2**20


def end(content: bytes) -> str:
    """How a stream ended, which it does once."""
    errors = [line for line in content.split(b"\n\n") if line.startswith(b'data: {"error"')]
    assert content.count(DONE) + len(errors) == 1, content
    if not errors:
        return "ok"
    return str(msgspec.json.decode(errors[0].removeprefix(b"data: "))["error"]["code"])


async def test_servers_that_die_in_mid_stream_lose_the_streams_they_had_and_no_other() -> None:
    upstreams = [Upstream(says()) for _ in range(4)]
    async with fleet(upstreams, failures={"in_a_row": 1000}) as it:
        for upstream in upstreams[:2]:
            upstream.manner = breaks_off
        answers = await ask_all(it, 80, at_once=16, stream=True)
        assert {answer.status for answer in answers} == {200}
        ends = Counter(
            (answer.headers["x-roundhouse-engine"] in "ab", end(answer.content))
            for answer in answers
        )
        assert ends == {(True, "engine_unavailable"): 40, (False, "ok"): 40}
        for upstream in upstreams[:2]:
            upstream.manner = says()
        again = await ask_all(it, 80, at_once=16, stream=True)
        assert Counter(end(answer.content) for answer in again) == {"ok": 80}
    assert sum(len(upstream.asked) for upstream in upstreams) == 160, "none was asked for twice"
    assert it.outcomes() == {"engine_error": 40, "ok": 120}


async def test_an_engine_that_hangs_gets_no_more_turns_and_loses_none_when_it_goes_on() -> None:
    gate = asyncio.Event()
    hung = ScriptedEngine([*HI[:2], gate, *HI[2:]], name="hung")
    well = ScriptedEngine(HI, name="well")
    failures = {"probe_s": 0.01, "probe_max_s": 0.01, "probe_timeout_s": 0.05}
    async with served(hung, well, failures=failures) as it, asyncio.timeout(60):
        first = [asyncio.create_task(it.chat(session_id=f"s-{number}")) for number in range(16)]
        while len(hung.calls) + len(well.calls) < 16:
            await it.ask("GET", "/livez")
        hung.ailment = TimeoutError()
        while it.metric("engine_ready", engine="hung"):
            await it.ask("GET", "/livez")
        later = await asyncio.gather(*(it.chat(session_id=f"s-{number}") for number in range(16)))
        assert {answer.headers["x-roundhouse-engine"] for answer in later} == {"well"}
        hung.ailment = None
        gate.set()
        answers = [await one for one in first]
        assert {answer.status for answer in (*answers, *later)} == {200}
        while not it.metric("engine_ready", engine="hung"):
            await it.ask("GET", "/livez")
    assert it.outcomes() == {"ok": 32}
    assert len(well.calls) + sum(call.body.get("max_tokens") != 1 for call in hung.calls) == 32


async def test_a_store_that_is_killed_and_that_hangs_under_load_is_no_clients_error() -> None:
    sessions, turns, upstreams = 16, 30, [Upstream(says()) for _ in range(3)]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(120))
        redis = await stack.enter_async_context(redis_server())
        for upstream in upstreams:
            await stack.enter_async_context(upstream.running())
        both: list[Served] = []
        for _ in range(2):
            engines = [u.engine(name=name) for u, name in zip(upstreams, "abc", strict=True)]
            store = {"url": redis.url, "timeout_s": 0.05, "rest_s": 0.1}
            both.append(await stack.enter_async_context(served(*engines, store=store)))
        statuses: Counter[int] = Counter()
        phase = asyncio.Condition()

        async def session(number: int) -> None:
            for turn in range(turns):
                # Each session comes once to each gateway, so that each turn asks the store.
                answer = await both[turn % 2].chat(session_id=f"s-{number}-{turn // 2}")
                async with phase:
                    statuses[answer.status] += 1
                    phase.notify_all()

        async def after(share: float) -> None:
            async with phase:
                await phase.wait_for(lambda: statuses.total() >= share * sessions * turns)

        async with asyncio.TaskGroup() as group:
            for number in range(sessions):
                group.create_task(session(number))
            await after(0.2)
            await redis.kill()
            await after(0.4)
            await redis.start()
            await after(0.6)
            redis.freeze()
            await after(0.8)
            redis.thaw()
        assert statuses == {200: sessions * turns}
        assert all(it.metric("store_local_total") > 0 for it in both)
        more = 0
        while not all(it.metric("store_up") for it in both):
            await asyncio.gather(*(it.chat(session_id="again") for it in both))
            more += 2
    assert sum(len(upstream.asked) for upstream in upstreams) == sessions * turns + more
    assert sum(it.outcomes()["ok"] for it in both) == sessions * turns + more


@asynccontextmanager
async def alone(
    folder: Path, upstreams: Mapping[str, Upstream], **settings: object
) -> AsyncIterator[tuple[GatewayProcess, aiohttp.ClientSession]]:
    """A gateway in a process of its own; each server serves a model of its own name."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(120))
        for upstream in upstreams.values():
            await stack.enter_async_context(upstream.running())
        engines = [
            {"name": name, "kind": "http", "url": upstream.url, "model": "there"}
            | {"served_name": name}
            for name, upstream in upstreams.items()
        ]
        gateway: dict[str, object] = {"port": 0, **settings}
        process = gateway_process(folder, {"gateway": gateway, "engines": engines})
        it = await stack.enter_async_context(process)
        connector = aiohttp.TCPConnector(limit=0)
        yield it, await stack.enter_async_context(aiohttp.ClientSession(connector=connector))


async def outcomes(it: GatewayProcess, http: aiohttp.ClientSession) -> dict[str, int]:
    """How many requests have ended in what way."""
    async with http.get(f"{it.url}/metrics") as page:
        lines = (await page.text()).splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        if line.startswith("roundhouse_requests_total{"):
            found[line.partition('outcome="')[2].partition('"')[0]] += int(float(line.split()[-1]))
    return {name: count for name, count in found.items() if count}


def chat(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def ask(it: GatewayProcess, http: aiohttp.ClientSession, model: str) -> tuple[int, bytes]:
    async with http.post(it.url + CHAT, json=chat(model)) as answer:
        if answer.status != 200:
            assert answer.headers["retry-after"] == "1"
        return answer.status, await answer.read()


@asynccontextmanager
async def deaf(it: GatewayProcess, model: str) -> AsyncIterator[None]:
    """A client that asks and never reads, and leaves at the end."""
    port = int(it.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    said = msgspec.json.encode(chat(model))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(said)}\r\n"
    writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + said)
    try:
        yield
    finally:
        writer.close()


async def test_clients_that_read_nothing_and_then_leave_cost_bounded_memory_and_nobody_else(
    tmp_path: Path,
) -> None:
    count, asked = 24, 0
    deep, quick = Upstream(says()), Upstream(says())
    async with alone(tmp_path, {"deep": deep, "quick": quick}) as (it, http):
        memory = psutil.Process(it.process.pid).memory_info

        async def ask_quickly() -> None:
            nonlocal asked
            answers = await asyncio.gather(*(ask(it, http, "quick") for _ in range(count)))
            assert [(status, end(content)) for status, content in answers] == [(200, "ok")] * count
            asked += count

        await ask_quickly()
        before, deep.manner = memory().rss, floods
        async with AsyncExitStack() as clients:
            for _ in range(count):
                await clients.enter_async_context(deaf(it, "deep"))
            await until(lambda: len(deep.asked) == count)
            sent = -1
            while sent != deep.sent:  # until no buffer on the way takes more
                sent = deep.sent
                await ask_quickly()
            assert 0 < sent < count * 32 * MIB
            full = memory().rss
            assert full - before < sent, "most is in the sockets, the rest is the answers' text"
            for _ in range(10):
                await ask_quickly()
            assert memory().rss - full < count * MIB / 4
        # A request is counted when its last byte has gone, which its client may hear before.
        while await outcomes(it, http) != {"ok": asked, "disconnected": count}:
            pass
    assert (len(deep.asked), len(quick.asked)) == (count, asked)


@pytest.mark.parametrize("patient", [True, False])
async def test_sigterm_under_load_ends_every_request_in_one_way(
    patient: bool, tmp_path: Path
) -> None:
    running, waiting, late = 16, 8, 8
    gate = asyncio.Event()
    upstream = Upstream(says([*HELLO[:2], gate, *HELLO[2:]]))
    settings = {"queue": {"running": running}, "shutdown_s": 60 if patient else 0.5}
    async with alone(tmp_path, {"a": upstream}, **settings) as (it, http):
        first = [asyncio.create_task(ask(it, http, "a")) for _ in range(running)]
        await until(lambda: len(upstream.asked) == running)
        then = [asyncio.create_task(ask(it, http, "a")) for _ in range(waiting)]
        while await gauge(it, http, "roundhouse_queue_depth") != waiting:
            pass
        it.stop()
        refused = [await one for one in then]
        if patient:
            refused += [await ask(it, http, "a") for _ in range(late)]
            gate.set()
        assert {(status, code(content)) for status, content in refused} == {(503, "shutting_down")}
        ends = Counter([end(content) for _, content in await asyncio.gather(*first)])
        assert ends == {"ok" if patient else "engine_unavailable": running}
        assert await it.process.wait() == 0
    assert len(upstream.asked) == running


async def gauge(it: GatewayProcess, http: aiohttp.ClientSession, name: str) -> float:
    async with http.get(f"{it.url}/metrics") as page:
        lines = (await page.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def code(content: bytes) -> str:
    return str(msgspec.json.decode(content)["error"]["code"])
