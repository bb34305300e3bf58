"""A redis-server of the test's own: on a socket file, without persistence, ended with the test."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAM = shutil.which("redis-server")


@dataclass
class RedisServer:
    """Can be killed, started again with nothing in it, and frozen."""

    folder: Path
    settings: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = field(default=None)

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    async def start(self) -> None:
        """Returns when it takes connections."""
        assert PROGRAM is not None
        command = [PROGRAM, "--port", "0", "--unixsocket", f"{self.folder}/redis.sock"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder), *self.settings]
        self.process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if b"ready to accept connections" in line:
                return
        raise AssertionError("redis-server ended at its start")

    async def kill(self) -> None:
        """Ends it at once; what it knew is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@asynccontextmanager
async def redis_server(*settings: str) -> AsyncIterator[RedisServer]:
    """A running one. Skips the test where there is no redis-server, but never in CI."""
    if PROGRAM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs redis-server: see scripts/services")
        pytest.skip("redis-server is not installed: see scripts/services")
    # Not pytest's folder: the path of a socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="rh-redis-") as folder:
        server = RedisServer(Path(folder), settings)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


async def until(is_so: Callable[[], bool]) -> None:
    """Waits for what another process will bring about."""
    async with asyncio.timeout(240):
        while not is_so():  # noqa: ASYNC110  # another process has no event to set
            await asyncio.sleep(0.005)
