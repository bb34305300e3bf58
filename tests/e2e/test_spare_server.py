"""A real vLLM server met over HTTP sleeps and wakes, by the endpoints of its development mode."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.servers import free_port, serving
from benchmarks.variants import Launch
from engine.config import EngineConfig
from engine.http.backend import HttpEngine
from engine.probe import answer_token
from tests.e2e.conftest import DEMO, until

pytestmark = pytest.mark.real


def engine(port: int) -> HttpEngine:
    """One gateway's view of the server."""
    said = {"name": "far", "kind": "http", "model": "demo", "spare": True, "http": {"load_s": 0.05}}
    return HttpEngine(EngineConfig.model_validate({**said, "url": f"http://127.0.0.1:{port}"}))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where a server of the demo model listens."""
    port = free_port()
    said = {"model": DEMO, "served-model-name": "demo", "host": "127.0.0.1", "port": port}
    small = {"max-model-len": 2048, "block-size": 32, "kv-cache-memory-bytes": 2**28}
    options = [word for name, value in (said | small).items() for word in (f"--{name}", f"{value}")]
    launch = Launch(
        [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager", *options],
        {**os.environ, "VLLM_SERVER_DEV_MODE": "1"},
        port,
        "/health",
    )
    with serving(launch, tmp_path / "server.log", None) as server:
        yield server.port


async def test_a_real_server_sleeps_and_every_gateway_sees_it(port: int) -> None:
    async with asyncio.timeout(60):
        ours, theirs = engine(port), engine(port)
        await ours.start()
        await until(lambda: ours.load().kv_tokens > 0)
        await ours.sleep()
        with pytest.raises(TimeoutError):
            await answer_token(ours, 0.5)
        await theirs.start()
        assert theirs.load().is_asleep, "a start before a sleeper waits for no token"
        await theirs.wake()
        await answer_token(theirs, 20)
        await until(lambda: not ours.load().is_asleep)
        await theirs.sleep()
        await until(lambda: ours.load().is_asleep)
        await ours.wake()
        await answer_token(ours, 20)
        await ours.close()
        await theirs.close()
