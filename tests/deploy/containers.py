"""A service of a compose file as a process: its command, environment, health check and stop."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from compose_spec import parse_duration

from tests.deploy.composed import DEPLOY, ROOT, Values

HEALTHY_S = 180.0  # only so that a hanging test ends


@dataclass(frozen=True, slots=True)
class Stage:
    """Stands for Docker: where mounts lie here, and where services are found."""

    folder: Path
    ports: Mapping[str, int]
    """What listens where here: {"gateway:8000": 40123, …}."""

    def here(self, text: str, name: str) -> str:
        """A command, a health check or a value as it must be said on this machine."""
        for place in ("/run/secrets", "/etc/roundhouse", "/var/lib/roundhouse"):
            text = text.replace(place, str(self.folder / place[1:]))
        for address, port in self.ports.items():
            service, _, inner = address.partition(":")
            text = text.replace(f"//{address}/", f"//127.0.0.1:{port}/")
            if service == name:
                text = text.replace(f"//127.0.0.1:{inner}/", f"//127.0.0.1:{port}/")
        return text

    def mount(self, said: Values, secrets: Values) -> None:
        """Lay the service's volumes and secrets where the process will look for them."""
        for volume in said.get("volumes", ()):
            source, target = volume.split(":")[:2]
            place = self.folder / target[1:]
            if not source.startswith("./"):
                place.mkdir(parents=True, exist_ok=True)
            elif (DEPLOY / source).is_dir():
                shutil.copytree(DEPLOY / source, place, dirs_exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(self.settings((DEPLOY / source).read_text(encoding="utf-8")))
        for secret in said.get("secrets", ()):
            place = self.folder / "run" / "secrets" / secret
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(secrets[secret])

    def settings(self, text: str) -> str:
        """House.yaml with loopback in the place of the containers' network."""
        text = text.replace("host: 0.0.0.0", "host: 127.0.0.1")
        for address, port in self.ports.items():
            text = text.replace(f"//{address}/", f"//127.0.0.1:{port}/")
        for section, address in (("gateway", "gateway:8000"), ("tools_service", "tools:8001")):
            text = text.replace(f"{section}:\n", f"{section}:\n  port: {self.ports[address]}\n", 1)
        return text.replace("/var/lib/roundhouse", str(self.folder / "var/lib/roundhouse"))


@dataclass(slots=True)
class Container:
    """A running service."""

    name: str
    said: Values
    stage: Stage
    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        return "".join(self.lines)

    async def listen(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace"))

    async def healthy(self) -> None:
        """Run the health check until it succeeds, as Docker does."""
        _, *check = [self.stage.here(word, self.name) for word in self.said["healthcheck"]["test"]]
        check[0] = sys.executable if check[0] == "python3" else check[0]
        pause_s = parse_duration(self.said["healthcheck"]["start_interval"])
        async with asyncio.timeout(HEALTHY_S):
            while await status(check) != 0:  # so does Docker
                assert self.process.returncode is None, self.log
                await asyncio.sleep(pause_s)

    async def stop(self) -> int:
        """The stop signal, then the exit code; fails when the grace period is not enough."""
        number = signal.Signals[self.said.get("stop_signal", "SIGTERM")]
        self.process.send_signal(number)
        async with asyncio.timeout(parse_duration(self.said["stop_grace_period"])):
            return await self.process.wait()


async def status(command: list[str]) -> int:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    return await process.wait()


@asynccontextmanager
async def started(
    name: str, said: Values, stage: Stage, secrets: Mapping[str, str]
) -> AsyncIterator[Container]:
    """The service's process with the environment of its container and nothing else's."""
    stage.mount(said, dict(secrets))
    command = [stage.here(word, name) for word in said["command"]]
    words = {key: stage.here(str(value or ""), name) for key, value in said["environment"].items()}
    home = stage.folder / "home"
    home.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            **words,
        },
        cwd=home,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    container = Container(name, said, stage, process)
    async with asyncio.TaskGroup() as group:
        group.create_task(container.listen())
        try:
            yield container
        finally:
            with suppress(psutil.NoSuchProcess):
                first = psutil.Process(process.pid)
                for one in [*first.children(recursive=True), first]:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
            await process.wait()
