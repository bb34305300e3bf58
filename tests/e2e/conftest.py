"""The whole house on real sockets: a real engine, a real tools service, the real OpenAI SDK."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

import models
from engine.build import build
from engine.config import EngineConfig
from engine.protocol import Engine
from gateway.app import Gateway
from gateway.config import GatewayConfig
from tests.parts.forked import no_errors_of_warnings
from tests.parts.served import listening

DEMO = str(Path(models.__file__).parent / "demo")
TOKEN = "a token for tests"
LISTENING = re.compile(r"listening on (http://[\d.]+:\d+)")


def demo_config(name: str = "demo", **changes: Any) -> EngineConfig:
    """The embedded default, small."""
    args = {
        "enforce_eager": True,
        "block_size": 32,
        # A model this small would fill the context with the white space a schema allows.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        **changes.pop("args", {}),
    }
    settings: dict[str, Any] = {
        "name": name,
        "model": DEMO,
        "served_name": "demo",
        "tool_parser": "hermes",
        "kv_cache_gib": 0.25,
        "max_model_len": 2048,
        "args": args,
        **changes,
    }
    return EngineConfig(**settings)


@dataclass(frozen=True, slots=True)
class House:
    """A running gateway."""

    gateway: Gateway
    url: str

    @property
    def engine(self) -> Engine:
        """Its first engine."""
        return self.gateway.engines[0]

    def client(self, key: str = "none") -> openai.AsyncOpenAI:
        """The OpenAI SDK, pointed at it and without retries."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=60)


@asynccontextmanager
async def house(config: GatewayConfig, *engines: EngineConfig) -> AsyncGenerator[House]:
    """Start engines and gateway, and serve on a port of the system's choice."""
    gateway = Gateway(config, [build(engine) for engine in engines], TOKEN)
    async with AsyncExitStack() as stack:
        with no_errors_of_warnings():
            await stack.enter_async_context(gateway.running())
        server = await stack.enter_async_context(listening(gateway))
        stack.push_async_callback(gateway.stop)
        host, port = server.servers[0].sockets[0].getsockname()
        yield House(gateway, f"http://{host}:{port}")


async def until(is_so: Callable[[], bool]) -> None:
    """Return when `is_so`; for what nobody announces."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.01)


class ToolsProcess:
    """The tools service as the process it is."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def tools_process(folder: Path, **settings: object) -> AsyncGenerator[ToolsProcess]:
    """Start the tools service with these settings on a port of the system's choice."""
    config = folder / "tools.json"
    config.write_text(json.dumps({"tools_service": {"port": 0, **settings}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools_service",
        "--config",
        str(config),
        env={**os.environ, "ROUNDHOUSE_TOOLS_TOKEN": TOKEN},
        stderr=asyncio.subprocess.PIPE,
    )
    drain: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(30):
            url = await _listening(process)
        assert process.stderr is not None
        drain = asyncio.create_task(process.stderr.read())
        yield ToolsProcess(process, url)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
        if drain is not None:
            await drain


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if found := LISTENING.search(line.decode()):
            return found[1]
    raise AssertionError("the tools service ended while it started")


@pytest_asyncio.fixture(scope="session")
async def tools(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ToolsProcess]:
    """One tools service for all tests that don't kill it."""
    async with tools_process(tmp_path_factory.mktemp("tools")) as running:
        yield running


@pytest_asyncio.fixture(scope="session")
async def roundhouse(tools: ToolsProcess) -> AsyncIterator[House]:
    """One gateway with one engine for all tests that don't break it."""
    config = GatewayConfig.model_validate({"port": 0, "tools": {"url": f"{tools.url}/mcp"}})
    async with house(config, demo_config()) as running:
        yield running


@pytest_asyncio.fixture
async def client(roundhouse: House) -> AsyncIterator[openai.AsyncOpenAI]:
    """The OpenAI SDK, pointed at the shared gateway."""
    async with roundhouse.client() as sdk:
        yield sdk
