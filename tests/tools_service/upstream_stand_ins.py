"""Upstreams as processes, the service in front of them, and what its log says."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.tools_service.tool_stand_ins import Gate, Stand
from tools_service.call import Answer, Call, Started
from tools_service.config import ToolsServiceConfig
from tools_service.metrics import UpstreamMetrics
from tools_service.policy import Group
from tools_service.service import assemble, running
from tools_service.tools.calculate import Calculate
from tools_service.tools.registry import Tell, untold
from tools_service.tools.upstream.build import linked

SERVER = str(Path(__file__).with_name("upstream_server.py"))
TOOLS = ("echo", "add", "picture", "fail", "hang", "cancelled", "die", "surroundings", "grow")
PATHS = {"http": "mcp", "sse": "sse"}


class Heard(logging.Handler):
    """The service's log, to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._news = asyncio.Event()
        self._read = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._news.set()

    async def until(self, part: str) -> str:
        """The next line with this in it."""
        while True:
            while self._read < len(self.lines):
                self._read += 1
                if part in self.lines[self._read - 1]:
                    return self.lines[self._read - 1]
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def heard() -> AsyncIterator[Heard]:
    handler = Heard()
    logger = logging.getLogger("tools_service")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@asynccontextmanager
async def upstream(kind: str, port: int = 0, **env: str) -> AsyncIterator[int]:
    """A server on HTTP, and its port."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, SERVER, kind, str(port)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
    )
    assert child.stdout is not None
    try:
        yield int(await child.stdout.readline())
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def stdio(**settings: object) -> dict[str, object]:
    return {
        "transport": "stdio",
        "command": sys.executable,
        "args": [SERVER, "stdio", "0"],
        "tools": list(TOOLS),
        "connect_s": 240,
        **settings,
    }


def over_http(kind: str, port: int, **settings: object) -> dict[str, object]:
    return {
        "transport": kind,
        "url": f"http://127.0.0.1:{port}/{PATHS[kind]}",
        "tools": list(TOOLS),
        "connect_s": 240,
        **settings,
    }


@dataclass
class Front(Stand):
    """A running service in front of upstreams."""

    log: Heard = field(default_factory=Heard)

    @property
    def names(self) -> list[str]:
        return [tool.name for tool in self.parts.registry]

    async def call(self, tool: str, tell: Tell = untold, **arguments: object) -> Answer:
        call = Call(tool, arguments, Group(), "", tell)
        return await self.parts.executor.call(call, _unannounced)


async def _unannounced(started: Started) -> None:
    pass


@asynccontextmanager
async def front(
    pins: Path, environ: dict[str, str] | None = None, **upstreams: dict[str, Any]
) -> AsyncIterator[Front]:
    config = ToolsServiceConfig.model_validate(
        {"port": 0, "shutdown_s": 0, "pins_path": pins, "upstreams": upstreams}
    )
    parts = assemble(config, (Calculate(),), CollectorRegistry())
    given = {"PATH": os.environ["PATH"], **(environ or {})}
    async with (
        heard() as log,
        linked(config, parts.registry, UpstreamMetrics(parts.prometheus), given, asyncio.Event()),
        running(parts) as url,
    ):
        yield Front(parts, Gate(), url, log)
