"""Upstreams, Redis and the service itself die under load; calls are counted where they are run."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from gateway.tool_client import ToolClient, ToolClientConfig
from tests.parts.redis_server import RedisServer, redis_server
from tests.tools_service.chaos_stand_ins import (
    NOT_KNOWN,
    NOT_RUN,
    UPSTREAM,
    Callers,
    Ended,
    Ledger,
    Program,
    kill,
    program,
    settings,
)

ALL = ("pipe_pay", "pipe_look", "net_pay", "net_look")
PIPE, NET = ALL[:2], ALL[2:]
CALLERS = 6


@dataclass
class House:
    """Everything there is to kill."""

    service: Program
    net: Program
    redis: RedisServer
    ledger: Ledger
    callers: Callers
    url: str

    async def upstreams_die(self) -> None:
        self.callers.during = "upstreams"
        (*_, child) = self.ledger.born("stdio")
        kill(child)
        await self.callers.more(*PIPE)
        assert self.ledger.born("stdio")[-1] != child
        await self.net.end(signal.SIGKILL)
        await self.callers.more(*PIPE)
        await self.net.start()
        await self.callers.more(*ALL)

    async def redis_dies(self) -> None:
        self.callers.during = "redis"
        self.redis.freeze()
        await self.callers.more(*ALL)
        self.redis.thaw()
        await self.redis.kill()
        await self.callers.more(*ALL)
        await self.redis.start()

    async def service_ends(self, number: signal.Signals) -> int:
        """Its exit status; when this returns it is back and answers."""
        self.callers.during = number.name
        status = await self.service.end(number)
        self.callers.there.clear()
        await self.service.start()
        self.callers.there.set()
        await self.callers.more(*ALL)
        return status

    async def shares(self) -> None:
        """Waits until the service is one with Redis again."""
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{self.url}/metrics") as response:
                    if "\nroundhouse_tools_service_shared 1.0\n" in await response.text():
                        return


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    ledger = Ledger(folder / "ledger")
    config = folder / "service.json"
    async with (
        redis_server() as redis,
        program(UPSTREAM, "http", "0", str(ledger.path), ready="") as net,
        program(
            "-m", "tools_service", "--config", str(config), ready="service listening"
        ) as service,
    ):
        port = int(await net.start())
        net.command = (UPSTREAM, "http", str(port), str(ledger.path))
        settings(folder, ledger, redis.url, port, 0)
        url = (await service.start()).rsplit(" ", 1)[1]
        # From now on it comes back where it was.
        settings(folder, ledger, redis.url, port, int(url.rsplit(":", 1)[1]))
        async with ToolClient(ToolClientConfig(f"{url}/mcp")) as client:
            yield House(service, net, redis, ledger, Callers(client), url)


async def test_no_call_is_lost_and_none_is_run_twice_whatever_dies(tmp_path: Path) -> None:
    async with asyncio.timeout(280), house(tmp_path) as it, asyncio.TaskGroup() as tasks:
        callers = it.callers
        callers.there.set()
        for seed in range(CALLERS):
            tasks.create_task(callers.work(seed))
        await callers.more(*ALL)
        await it.upstreams_die()
        await it.redis_dies()
        assert await it.service_ends(signal.SIGKILL) == -signal.SIGKILL
        assert await it.service_ends(signal.SIGTERM) == 0
        await it.shares()
        callers.stop()
    assert callers.begun == len(callers.ended)
    done = it.ledger.done()
    for call in callers.ended:
        judge(call, done[call.which])


def judge(call: Ended, runs: int) -> None:
    """What its caller was told is so."""
    assert len(call.ends) == 1
    once = call.tool.endswith("pay")
    assert runs <= 1 or not once, call
    if call.is_ok:
        assert runs >= 1, call
    elif any(part in call.text for part in NOT_RUN):
        # What may be done twice was perhaps done, and lost, by an attempt before.
        assert runs == 0 or not once, call
    else:
        assert any(part in call.text for part in NOT_KNOWN), call
        # A service that is asked to end answers what it has begun.
        assert call.during != "SIGTERM" or runs == 0, call
