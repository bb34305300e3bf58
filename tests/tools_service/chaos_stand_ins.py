"""What chaos needs: processes that come back when they are killed, callers, a ledger."""

import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ToolsDown
from gateway.events import ToolGroup, ToolOutcome
from gateway.tool_client import ToolClient

UPSTREAM = str(Path(__file__).with_name("chaos_upstream.py"))
NOT_RUN = (
    "is down; try again later",
    "keeps failing, so it is left alone",
    "the tools service is shutting down",
    "ClientConnectorError",
)
"""What says that nothing was done."""
NOT_KNOWN = (
    "whether it took effect is not known",
    "the tools service is gone",
    "the tools service ended its answer without a result",
    "ServerDisconnectedError",
    "ClientOSError",
    "ClientPayloadError",
    "SocketTimeoutError",
)
"""What says that something may have been done."""


@dataclass
class Ledger:
    """What the upstreams say they have done."""

    path: Path

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def born(self, kind: str) -> list[int]:
        """The processes of that kind there have been."""
        return [int(pid) for what, which, pid in self.lines() if (what, which) == ("born", kind)]

    def done(self) -> Counter[str]:
        """How often each call was run."""
        return Counter(which for what, which, _ in self.lines() if what != "born")


@dataclass
class Program:
    """A process that is started again and again; what it says is read, so that it never waits."""

    command: tuple[str, ...]
    ready: str
    said: list[str] = field(default_factory=list)
    child: asyncio.subprocess.Process | None = None
    _pump: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """The line that says it is ready."""
        root, pipe, out = (
            Path(__file__).parents[2],
            asyncio.subprocess.PIPE,
            asyncio.subprocess.STDOUT,
        )
        self.child = await asyncio.create_subprocess_exec(
            *(sys.executable, *self.command), stdout=pipe, stderr=out, cwd=root
        )
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._pump = asyncio.create_task(self._read(self.child, ready))
        return await ready

    async def end(self, number: signal.Signals) -> int:
        """Its exit status."""
        assert self.child is not None
        assert self._pump is not None
        if self.child.returncode is None:
            self.child.send_signal(number)
        await self._pump
        return await self.child.wait()

    async def _read(self, child: asyncio.subprocess.Process, ready: asyncio.Future[str]) -> None:
        assert child.stdout is not None
        async for line in child.stdout:
            self.said.append(line.decode().rstrip())
            if self.ready in self.said[-1] and not ready.done():
                ready.set_result(self.said[-1])
        if not ready.done():
            ready.set_exception(AssertionError("\n".join(self.said)))


@asynccontextmanager
async def program(*command: str, ready: str) -> AsyncIterator[Program]:
    """Not started yet; killed at the end."""
    made = Program(command, ready)
    try:
        yield made
    finally:
        if made.child is not None:
            await made.end(signal.SIGKILL)


@dataclass(frozen=True)
class Ended:
    """A call and all that its caller was told of its end."""

    tool: str
    which: str
    ends: tuple[ToolOutcome | ToolsDown, ...]
    during: str

    @property
    def is_ok(self) -> bool:
        (end,) = self.ends
        return isinstance(end, ToolOutcome) and end.outcome == "ok" and self.which in end.text

    @property
    def text(self) -> str:
        (end,) = self.ends
        return end.text if isinstance(end, ToolOutcome) else str(end)


@dataclass
class Callers:
    """Agents that call, whatever happens, until they are told to stop."""

    client: ToolClient
    during: str = "peace"
    ended: list[Ended] = field(default_factory=list)
    begun: int = 0
    there: asyncio.Event = field(default_factory=asyncio.Event)
    """The service can be reached; nobody calls one that cannot."""
    _stopped: bool = False
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def work(self, seed: int) -> None:
        chance = random.Random(seed)
        for number in itertools.count():
            await self.there.wait()
            if self._stopped:
                return
            tool = chance.choice(("pipe_pay", "pipe_look", "net_pay", "net_look"))
            await self._call(tool, f"{seed}-{number}.", chance.uniform(0.0, 0.03))
            # Agents think, too.
            await asyncio.sleep(chance.uniform(0.0, 0.03))

    async def more(self, *tools: str, calls: int = 8) -> None:
        """Waits until each of these has answered so many calls more."""
        before = self._count()
        async with self._news:
            await self._news.wait_for(
                lambda: all(self._count()[tool] >= before[tool] + calls for tool in tools)
            )

    def stop(self) -> None:
        self._stopped = True

    def _count(self) -> Counter[str]:
        return Counter(one.tool for one in self.ended if one.is_ok)

    async def _call(self, tool: str, which: str, nap_s: float) -> None:
        self.begun += 1
        ends: list[ToolOutcome | ToolsDown] = []
        events = self.client.call(
            tool,
            {"which": which, "nap_s": nap_s},
            session="chaos",
            group=ToolGroup(f"g{which}", 1),
            timeout_s=60,
        )
        try:
            ends += [event async for event in events if isinstance(event, ToolOutcome)]
        except ToolsDown as exc:
            ends.append(exc)
        async with self._news:
            self.ended.append(Ended(tool, which, tuple(ends), self.during))
            self._news.notify_all()


def settings(folder: Path, ledger: Ledger, redis_url: str, upstream_port: int, port: int) -> Path:
    """The service's, in a file."""
    tools = {"tools": ["pay", "look"], "trusted": True, "connect_s": 240}
    pipe = {
        "transport": "stdio",
        "command": sys.executable,
        "args": [UPSTREAM, "stdio", "0", str(ledger.path)],
    }
    net = {"transport": "http", "url": f"http://127.0.0.1:{upstream_port}/mcp"}
    path = folder / "service.json"
    service = {
        "port": port,
        "slots": 8,
        "upstreams": {"pipe": {**pipe, **tools}, "net": {**net, **tools}},
        "pins_path": str(folder / "pins.json"),
        "breaker": {"open_s": 0.2},
        "redis": {"url": redis_url, "timeout_s": 0.5, "retry_s": 0.05},
        "table_path": str(folder / "table.json"),
        "shutdown_s": 60,
    }
    path.write_text(json.dumps({"tools_service": service}))
    return path


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
