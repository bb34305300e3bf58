"""One process of ours: its start, its log, its end."""

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, Self

from roundhouse.errors import ChildDied

TAIL = 100  # lines of the log kept, to explain a death
TELLING = re.compile(r"\b\w*(?:Error|Exception)\b|\berror\b", re.IGNORECASE)
# vLLM's parent process says only this; the cause stands further up.
EMPTY = re.compile(r"See root cause above|Traceback \(most recent call last\)")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

REMEDIES = (  # what a log says, and what to do; the first that fits is told
    (r"address already in use|Errno 98", "another program holds the port: stop it or take --port"),
    (r"CUDA out of memory|OutOfMemoryError", "lower max_model_len or kv_cache_gib, or add devices"),
    (r"KV cache.*(larger|needed)|max seq len", "take --max-model-len, or a larger kv_cache_gib"),
    (r"No module named", "run scripts/install"),
    (r"not a valid model identifier|not a local folder|HFValidationError", "check the model path"),
    (r"torchvision::nms", "run scripts/install: it removes the broken torchvision"),
)


@dataclass(frozen=True, slots=True)
class Program:
    """What to start."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]


@dataclass(slots=True)
class Child:
    """A running process in a session of its own, so that Ctrl-C reaches only its parent."""

    name: str
    process: asyncio.subprocess.Process
    log_fd: int
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nobody can write to the log any more."""

    @classmethod
    async def start(cls, program: Program) -> Self:
        # A pipe of our own: asyncio's would keep wait() from returning while a grandchild
        # (an engine) holds the other end.
        read_fd, write_fd = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=program.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                start_new_session=True,
            )
        except OSError:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        return cls(program.name, process, read_fd)

    async def follow(self, hear: Callable[[str, str], None]) -> None:
        """Hand every line of the log to `hear(name, line)` until nobody can write more."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(self.log_fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        rest = b""
        try:
            while chunk := await reader.read(65536):
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                for line in lines:
                    self.take(line, hear)
            self.take(rest, hear)
        finally:
            self.silent.set()
            transport.close()

    def take(self, raw: bytes, hear: Callable[[str, str], None]) -> None:
        line = raw.decode(errors="replace").rstrip()
        if line:
            self.tail.append(ANSI.sub("", line))
            hear(self.name, line)

    async def died(self) -> NoReturn:
        """Wait until the process ends by itself. Raises ChildDied, with the cause."""
        code = await self.process.wait()
        self.kill()  # what it started must not outlive it, nor hold the log open
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self.silent.wait()
        raise ChildDied(f"{self.name} {ending(code)}{self.last_words()}", self.remedy(code))

    def last_words(self) -> str:
        line = telling(self.tail)
        return f"; it said: {line}" if line else ", without a word"

    def remedy(self, code: int) -> str:
        text = "\n".join(self.tail)
        for sign, todo in REMEDIES:
            if re.search(sign, text):
                return todo
        if code == -signal.SIGKILL:
            return "often the system was out of memory: see dmesg, and roundhouse doctor"
        return "look at its log above, and run roundhouse doctor"

    async def stop(self, bound_s: float) -> bool:
        """Ask it to end; after the bound end it, and with it all that it started.

        Returns whether it ended by itself.
        """
        try:
            if self.process.returncode is None:
                self.process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(bound_s):
                    await self.process.wait()
            return self.process.returncode is not None
        finally:
            self.kill()
            await self.process.wait()

    def kill(self) -> None:
        """End the process and all of its group at once."""
        with suppress(ProcessLookupError):  # nothing left of the group
            os.killpg(self.process.pid, signal.SIGKILL)


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"was killed by {known.get(-code, f'signal {-code}')}"


def telling(tail: Sequence[str]) -> str:
    """The line that tells most about a death: the last that names an error, else the last."""
    lines = [line.strip() for line in tail if not EMPTY.search(line)]
    errors = [line for line in lines if TELLING.search(line)]
    return (errors or lines or [""])[-1]
