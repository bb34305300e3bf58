"""A server under test: started, awaited, bound to its cores, and stopped with all its children."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.cores import Cores, pin
from benchmarks.variants import ROOT, Launch

_READY_S = 300.0
_POLL_S = 0.25
_STOP_S = 30.0
_LOG_LINES = 30


class ServerFailed(Exception):
    """A server died or did not become ready; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A ready server: the front end's process and core, and the engine's processes behind it."""

    port: int
    front_pid: int
    front_core: int | None
    engine_pids: list[int]

    @property
    def watched(self) -> dict[str, list[int]]:
        """Process ids by role."""
        return {"front": [self.front_pid], "engine": self.engine_pids}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(launch: Launch, log: Path, cores: Cores | None) -> Iterator[Server]:
    """Start a server, yield it when it is ready, stop it; raises ServerFailed."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.argv,
            env=launch.environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _await_ready(process, launch, log)
            yield _settle(process.pid, launch, cores)
        finally:
            _stop(process)


def _await_ready(process: subprocess.Popen[bytes], launch: Launch, log: Path) -> None:
    url = f"http://127.0.0.1:{launch.port}{launch.ready_path}"
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerFailed(f"exited with {process.returncode}\n{_last_lines(log)}")
        with suppress(OSError), urllib.request.urlopen(url, timeout=2) as reply:
            if reply.status == 200:
                return
        time.sleep(_POLL_S)
    raise ServerFailed(f"not ready after {_READY_S:.0f} s\n{_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _settle(pid: int, launch: Launch, cores: Cores | None) -> Server:
    """Tell front end from engine, and bind each to its core."""
    children = psutil.Process(pid).children(recursive=True)
    front = next((c for c in children if launch.front and c.name() == launch.front), None)
    engines = [child for child in children if child != front]
    front_pid = front.pid if front else pid
    if cores is not None:
        pin(pid, cores.front)
        pin(front_pid, cores.front)
        for child in engines:
            # A worker's parent is the engine core; the core's parent is the server.
            pin(child.pid, cores.engine if child.ppid() == pid else cores.worker)
    front_core = cores.front if cores else None
    return Server(launch.port, front_pid, front_core, [child.pid for child in engines])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop, then end whatever of it is left."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        psutil.wait_procs(children, timeout=_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
