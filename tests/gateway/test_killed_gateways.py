"""Two gateways as processes, one Redis, clients that go on with the other one."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway.keys import digest
from tests.parts.gateway_process import GatewayProcess, gateway_process
from tests.parts.redis_server import redis_server, until
from tests.parts.upstream import DONE, HELLO, Upstream, says

SESSIONS = 12
PER_MINUTE = 60
KEY = "the agents' key"


@dataclass(slots=True)
class House:
    """Servers, a Redis, two gateways, and what their clients see."""

    gateways: list[GatewayProcess]
    upstreams: Sequence[Upstream]
    gate: asyncio.Event
    http: aiohttp.ClientSession
    ends: Counter[str]

    async def ask(self, session: int, turn: int, at: int) -> str:
        """One turn at one gateway: the engine it ran on; "refused" or "cut" if it did not."""
        said = [{"role": "user", "content": f"{session}/{turn}"}]
        body = {"model": "here", "messages": said, "stream": True, "session_id": f"s-{session}"}
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{self.gateways[at].url}/v1/chat/completions"
        try:
            async with self.http.post(url, json=body, headers=headers) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            self.ends["cut"] += 1
            return "cut"
        if answer.status == 429:
            self.ends["refused"] += 1
            assert 1 <= int(answer.headers["retry-after"]) <= 59
            return "refused"
        assert (answer.status, content.count(DONE)) == (200, 1), content
        self.ends["ok"] += 1
        return answer.headers["x-roundhouse-engine"]

    async def ask_all(self, turn: int, gateways: Sequence[int]) -> list[str]:
        """A turn of every session at once, session after session at these gateways in turn."""
        places = [(number, gateways[number % len(gateways)]) for number in range(SESSIONS)]
        return await asyncio.gather(*(self.ask(number, turn, at) for number, at in places))

    @property
    def served(self) -> Counter[str]:
        """How often each turn, by its name, has come to a server."""
        bodies: list[Any] = [body for upstream in self.upstreams for body in upstream.asked]
        return Counter(body["messages"][0]["content"] for body in bodies)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[tuple[House, dict[str, object]]]:
    gate = asyncio.Event()
    gate.set()
    upstreams = [Upstream(says([*HELLO[:2], gate, *HELLO[2:]])) for _ in range(3)]
    keys = folder / "keys.yaml"
    terms = {"digest": digest(KEY), "requests_per_minute": PER_MINUTE, "sessions": SESSIONS}
    keys.write_bytes(msgspec.yaml.encode({"keys": [terms]}))
    async with asyncio.timeout(120), AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server())
        for upstream in upstreams:
            await stack.enter_async_context(upstream.running())
        far = {"kind": "http", "model": "there", "served_name": "here"}
        named = zip("abc", upstreams, strict=True)
        config: dict[str, object] = {
            "gateway": {
                "port": 0,
                "keys_file": str(keys),
                "store": {"url": redis.url, "timeout_s": 30},
            },
            "engines": [{"name": name, "url": upstream.url, **far} for name, upstream in named],
        }
        gateways = [
            await stack.enter_async_context(gateway_process(folder, config)) for _ in range(2)
        ]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield House(gateways, upstreams, gate, http, Counter()), config


@pytest.mark.parametrize("victim", [0, 1])
async def test_whichever_gateway_is_killed_nothing_is_lost_but_its_connections(
    victim: int, tmp_path: Path
) -> None:
    began_s = time.monotonic()
    async with house(tmp_path) as (it, config):
        survivor = 1 - victim
        homes = await it.ask_all(turn=1, gateways=[0])
        assert set(homes) == {"a", "b", "c"}
        assert await it.ask_all(turn=2, gateways=[1]) == homes, "at home at the other one"

        it.gate.clear()
        running = asyncio.create_task(it.ask_all(turn=3, gateways=[0, 1]))
        await until(lambda: it.served.total() == 3 * SESSIONS)
        assert await it.ask(SESSIONS, turn=3, at=survivor) == "refused", "one session too many"
        await it.gateways[victim].kill()
        await until(lambda: it.ends["cut"] == SESSIONS // 2)
        it.gate.set()
        ends = await running
        lost = [number for number in range(SESSIONS) if number % 2 == victim]
        assert [number for number, end in enumerate(ends) if end == "cut"] == lost
        again = await asyncio.gather(*(it.ask(number, turn=3, at=survivor) for number in lost))
        ends = [again[lost.index(n)] if n in lost else end for n, end in enumerate(ends)]
        assert ends == homes

        twice = {f"{number}/3" for number in lost}
        assert it.served == {
            f"{number}/{turn}": 1 + (f"{number}/{turn}" in twice)
            for number in range(SESSIONS)
            for turn in (1, 2, 3)
        }
        assert it.ends == {"ok": 3 * SESSIONS, "cut": len(lost), "refused": 1}
        async with gateway_process(tmp_path, config) as it.gateways[victim]:
            # What is left of the key's minute is left at both, and no more.
            turn = 4
            while "refused" not in (now := await it.ask_all(turn, gateways=[victim, survivor])):
                assert now == homes
                turn += 1
        asked = it.ends["ok"] + it.ends["cut"] + 1  # the session too many has used one as well
        assert PER_MINUTE <= asked <= PER_MINUTE + 1 + (time.monotonic() - began_s)
