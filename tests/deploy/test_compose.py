"""The services of the compose file run as they would in containers; only Docker is left out."""

import socket
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.deploy.composed import MAIN, composed
from tests.deploy.containers import Stage, started

SECRETS = {"api_keys": "first-key-9f31\nsecond-key-77ab", "tools_token": "shared-token-51c0aa"}
CALCULATE = {"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


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
