"""`python -m tools_service` as a process of its own."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from mcp import Client
from mcp_types import TextContent


@dataclass
class Process:
    """The process, what it has written to stderr, and where it listens."""

    child: asyncio.subprocess.Process
    log: list[str]
    url: str

    async def end(self, number: signal.Signals) -> int:
        self.child.send_signal(number)
        assert self.child.stderr is not None
        self.log += (await self.child.stderr.read()).decode().splitlines()
        return await self.child.wait()


async def start(folder: Path, settings: dict[str, object], token: str = "") -> Process:
    path = folder / "roundhouse.json"
    path.write_text(json.dumps({"gateway": {"any": 1}, "tools_service": {"port": 0, **settings}}))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools_service", "--config", str(path)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "ROUNDHOUSE_TOOLS_TOKEN": token},
        cwd=Path(__file__).parents[2],
    )
    return Process(child, [], "")


@asynccontextmanager
async def process(folder: Path, **settings: object) -> AsyncIterator[Process]:
    started = await start(folder, settings)
    assert started.child.stderr is not None
    try:
        async for line in started.child.stderr:
            started.log.append(line.decode().rstrip())
            if found := re.search(
                r"tools service listening on (http://127\.0\.0\.1:\d+)$", started.log[-1]
            ):
                started.url = found[1]
                break
        assert started.url, started.log
        yield started
    finally:
        if started.child.returncode is None:
            started.child.kill()
            await started.child.wait()


def samples(table: Path) -> int:
    """How many searches a saved table knows."""
    return int(json.loads(table.read_bytes())["tools"]["search"]["whole"]["runs"]["samples"])


async def test_it_serves_on_any_port_and_ends_with_0_after_saving_its_table(
    tmp_path: Path,
) -> None:
    table = tmp_path / "table.json"
    async with asyncio.timeout(240):
        async with process(tmp_path, table_path=str(table)) as first:
            async with Client(f"{first.url}/mcp") as client:
                result = await client.call_tool("search", {"query": "What is Roundhouse?"})
            (content,) = result.content
            assert isinstance(content, TextContent)
            assert json.loads(content.text)["results"][0]["title"] == "Roundhouse"
            assert await first.end(signal.SIGTERM) == 0, first.log
        assert samples(table) == 1
        async with (
            process(tmp_path, table_path=str(table)) as second,
            aiohttp.ClientSession() as http,
        ):
            async with http.get(f"{second.url}/runtimes") as response:
                lines = (await response.json())["runtimes"]
            assert lines[0]["samples"] == 1
            table.unlink()
            assert await second.end(signal.SIGINT) == 0
        assert samples(table) == 1
    assert not any("Roundhouse?" in line for line in first.log)


async def test_it_refuses_the_network_without_a_token(tmp_path: Path) -> None:
    async with asyncio.timeout(240):
        refused = await start(tmp_path, {"host": "0.0.0.0"})
        _, log = await refused.child.communicate()
    assert refused.child.returncode == 2
    assert b"refusing to listen on 0.0.0.0 without a token" in log
    assert b"Traceback" not in log


async def test_it_says_when_the_port_is_taken(tmp_path: Path) -> None:
    async with asyncio.timeout(240), process(tmp_path) as first:
        second = await start(tmp_path, {"port": int(first.url.rsplit(":", 1)[1])})
        _, log = await second.child.communicate()
    assert second.child.returncode == 2
    assert b"cannot listen on 127.0.0.1" in log
