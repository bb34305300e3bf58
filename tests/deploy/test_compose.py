"""The services of the compose file run as they would in containers; only Docker is left out."""

import asyncio
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from redis.asyncio import Redis

from tests.deploy.composed import MAIN, REDIS, composed
from tests.deploy.containers import Stage, started, status
from tests.parts.redis_server import redis_server

SECRETS = {"api_keys": "first-key-9f31\nsecond-key-77ab", "tools_token": "shared-token-51c0aa"}
CALCULATE = {"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


def free_ports() -> tuple[int, int]:
    here = ("127.0.0.1", 0)
    with socket.create_server(here) as one, socket.create_server(here) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_redis_asks_for_the_password_of_its_file_and_keeps_nothing(tmp_path: Path) -> None:
    said = composed(MAIN)["services"]["redis"]
    port = free_ports()[0]
    (tmp_path / "redis_password").write_text("redis-word-08c4")

    def here(text: str) -> str:
        text = text.replace("/run/secrets", str(tmp_path)).replace("/data", str(tmp_path))
        text = text.replace("redis-cli", f"redis-cli -p {port}")
        return text.replace("--appendonly no", f"--appendonly no --port {port} --bind 127.0.0.1")

    redis = await asyncio.create_subprocess_exec(
        *map(here, said["command"]), cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert redis.stdout
        async with asyncio.timeout(30):
            log = await redis.stdout.readuntil(b"Ready to accept connections")
            log += await redis.stdout.readline()
        assert await status(["sh", "-c", here(said["healthcheck"]["test"][1])]) == 0
        closed = f"redis-cli -p {port} ping | grep -q NOAUTH"
        assert await status(["sh", "-c", closed]) == 0
        assert "redis-word-08c4" not in " ".join(psutil.Process(redis.pid).cmdline())
        redis.terminate()  # what the command started is Redis itself, so that it hears this
        async with asyncio.timeout(10):  # Docker's own grace period
            log += (await redis.communicate())[0]
    finally:
        with suppress(ProcessLookupError):
            redis.kill()
        await redis.wait()
    assert redis.returncode == 0 and b"redis-word-08c4" not in log
    assert sorted(os.listdir(tmp_path)) == ["redis.conf", "redis_password"]


async def test_with_the_redis_of_the_second_file_the_house_shares_what_it_knows(
    tmp_path: Path,
) -> None:
    services = composed(MAIN, REDIS)["services"]
    word, (port, tools_port), (redis_port, _) = "redis-word-08c4", free_ports(), free_ports()
    ports = {"gateway:8000": port, "tools:8001": tools_port, "redis:6379": redis_port}
    stage = Stage(tmp_path, ports)
    secrets = {**SECRETS, "redis_password": word}
    async with (
        redis_server("--port", str(redis_port), "--requirepass", word) as redis,
        started("tools", services["tools"], stage, secrets) as tools,
        started("gateway", services["gateway-cpu"], stage, secrets) as gateway,
        aiohttp.ClientSession() as http,
    ):
        await gateway.healthy()
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
        said = {"Authorization": "Bearer second-key-77ab", "x-session-id": "known-to-all"}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        async with http.post(url, json=body, headers=said) as answer:
            assert answer.status == 200, await answer.text()
        async with Redis.from_url(f"{redis.url}?db=1", password=word) as known:
            homes = await known.keys("roundhouse-gateway:home:*:known-to-all")
            assert [await known.get(home) for home in homes] == [b"demo"]
        assert await gateway.stop() == 0, gateway.log
        assert await tools.stop() == 0, tools.log
    assert word not in gateway.log + tools.log


async def test_the_cpu_profile_starts_answers_with_a_tool_and_stops_in_time(tmp_path: Path) -> None:
    """Commands, environment, health checks, secrets and the stop are those of the file."""
    services = composed(MAIN)["services"]
    port, tools_port = free_ports()
    stage = Stage(tmp_path, {"gateway:8000": port, "tools:8001": tools_port})
    async with started("tools", services["tools"], stage, SECRETS) as tools:
        await tools.healthy()
        async with started("gateway", services["gateway-cpu"], stage, SECRETS) as gateway:
            await gateway.healthy()
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            question = {"role": "user", "content": "What is 17 * 23?"}
            body = {"model": "demo", "messages": [question], "tools": [CALCULATE]}
            async with aiohttp.ClientSession() as http:
                async with http.post(url, json=body) as refused:
                    assert refused.status == 401
                key = {"Authorization": "Bearer second-key-77ab"}
                async with http.post(url, json=body, headers=key) as response:
                    answer = await response.json()
            assert response.status == 200, answer
            (call,) = answer["roundhouse"]["tool_calls"]
            assert call["name"] == "calculate" and not call.get("failed")
            family = psutil.Process(gateway.process.pid).children(recursive=True)
            assert await gateway.stop() == 0, gateway.log
            assert not [one for one in family if one.is_running() and one.status() != "zombie"]
        assert await tools.stop() == 0, tools.log
    assert (tmp_path / "var/lib/roundhouse/table.json").is_file()
    for secret in ("first-key-9f31", "second-key-77ab", "shared-token-51c0aa"):
        assert secret not in gateway.log + tools.log
