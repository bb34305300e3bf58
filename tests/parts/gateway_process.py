"""A gateway as the process it is."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

LISTENING = b"gateway listening on "


@dataclass(slots=True)
class GatewayProcess:
    """Can be asked to stop, and killed."""

    process: asyncio.subprocess.Process
    url: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """It listens, or has ended."""
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        """What it has written."""
        return "".join(self.lines)

    async def listen(self) -> None:
        """Take its log to the end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace"))
            if LISTENING in line:
                self.url = line.partition(LISTENING)[2].decode().strip()
                self.ready.set()
        self.ready.set()

    def stop(self) -> None:
        """Ask it to stop."""
        self.process.send_signal(signal.SIGTERM)

    async def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def gateway_process(
    folder: Path, config: Mapping[str, object], *, waits: bool = True
) -> AsyncIterator[GatewayProcess]:
    """One that has begun to listen, unless nobody waits for that; killed at the end."""
    file = folder / "gateway.json"
    file.write_text(json.dumps(dict(config)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "--config", str(file)),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    gateway = GatewayProcess(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.listen())
        try:
            if waits:
                async with asyncio.timeout(90):
                    await gateway.ready.wait()
                assert gateway.url, gateway.log
            yield gateway
        finally:
            if process.returncode is None:
                await gateway.kill()
