"""What a tool call costs the server, beside a plain endpoint and other MCP servers."""

import argparse
import asyncio
import os
import shlex
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.commands import Command
from benchmarks.cores import Cores, cpu_s, layout, pin, usable
from benchmarks.machine import describe
from benchmarks.streaming import in_turn
from benchmarks.tools_hosting import hosted
from benchmarks.tools_report import listing, table
from benchmarks.tools_speed_servers import TOOL
from benchmarks.variants import ROOT
from gateway.events import ToolGroup, ToolOutcome
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.tool_wire import META, VERSION

_NAMES = {
    "plain": "plain FastAPI endpoint",
    "ours": "tools service",
    "untold": "tools service, told to say nothing before the result",
    "sdk": "SDK's MCPServer",
    "fastmcp": "FastMCP",
}
_NOTE = (
    "Medians (min..max). CPU, user and system, is the server's own and the figure to go by; the "
    "clock also sees the client and whoever else uses the machine."
)
_MOST_ADDED_MS, _LEAST_RATE = 1.0, 1000.0
_WARM_UP = 200
_MCP = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": VERSION,
    "mcp-method": "tools/call",
    "mcp-name": TOOL,
}
Call = Callable[[int], Awaitable[None]]


class CallFailed(Exception):
    """A server answered something else than the text it was given."""


@dataclass(frozen=True, slots=True)
class Row:
    """One server at one concurrency, once."""

    server: str
    concurrent: int
    cpu_ms: float
    """Server CPU of one call, user and system."""
    rate: float
    """Calls per second by the clock: also the machine's and the client's."""
    p50_ms: float
    p99_ms: float

    @property
    def capacity(self) -> float:
        """Calls per second that one core has CPU for."""
        return 1000 / self.cpu_ms


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark."""

    concurrent: tuple[int, ...]
    calls: int
    reps: int
    fastmcp: Path | None
    out: Path


def run(options: Options, cores: Cores | None = None) -> list[Row]:
    """Every server at every concurrency, in turn, each time in a fresh process."""
    names = [name for name in _NAMES if name != "fastmcp" or options.fastmcp]
    rows: list[Row] = []
    for repetition in range(options.reps):
        for name in in_turn(names, repetition):
            with hosted(_command(name, options.fastmcp)) as (url, pid):
                if cores:
                    pin(pid, cores.front)
                for concurrent in options.concurrent:
                    found = asyncio.run(_measure(name, url, pid, concurrent, options.calls))
                    rows.append(found)
                    sys.stderr.write(f"{repetition} {name} x{concurrent}: {found.cpu_ms:.2f} ms\n")
    return rows


def _command(name: str, fastmcp: Path | None) -> list[str]:
    """FastMCP runs by the Python that has it, which does not have the rest."""
    if name == "fastmcp":
        return [str(fastmcp), str(ROOT / "benchmarks" / "tools_speed_servers.py"), name]
    program = "ours" if name == "untold" else name
    return [sys.executable, "-m", "benchmarks.tools_speed_servers", program]


async def _measure(name: str, url: str, pid: int, concurrent: int, calls: int) -> Row:
    async with _client(name, url, concurrent) as call:
        await _drive(call, min(_WARM_UP, calls), concurrent)
        before_s, began_s = cpu_s([pid]), time.perf_counter()
        times_s = sorted(await _drive(call, calls, concurrent))
        took_s, used_s = time.perf_counter() - began_s, cpu_s([pid]) - before_s
    return Row(
        server=name,
        concurrent=concurrent,
        cpu_ms=1000 * used_s / calls,
        rate=calls / took_s,
        p50_ms=1000 * times_s[calls // 2],
        p99_ms=1000 * times_s[int(0.99 * calls)],
    )


async def _drive(call: Call, calls: int, concurrent: int) -> list[float]:
    numbers, times_s = iter(range(calls)), []

    async def work() -> None:
        for number in numbers:
            began_s = time.perf_counter()
            await call(number)
            times_s.append(time.perf_counter() - began_s)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrent):
            tasks.create_task(work())
    return times_s


@asynccontextmanager
async def _client(name: str, url: str, concurrent: int) -> AsyncIterator[Call]:
    if post := {"plain": _post, "untold": _post_mcp}.get(name):
        connector = aiohttp.TCPConnector(limit=concurrent)
        async with aiohttp.ClientSession(connector=connector) as http:
            yield lambda number: post(http, url, f"hello {number}")
        return
    async with ToolClient(ToolClientConfig(url, connections=concurrent)) as client:
        yield lambda number: _call(client, f"hello {number}")


async def _post(http: aiohttp.ClientSession, url: str, text: str) -> None:
    body = msgspec.json.encode({"name": TOOL, "arguments": {"text": text}})
    async with http.post(url, data=body, headers={"content-type": "application/json"}) as response:
        found = msgspec.json.decode(await response.read())
    if found["content"][0]["text"] != text:
        raise CallFailed(str(found))


async def _post_mcp(http: aiohttp.ClientSession, url: str, text: str) -> None:
    """The gateway's own request, but for the token that asks for progress."""
    params = {"name": TOOL, "arguments": {"text": text}, "_meta": META}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with http.post(url, data=msgspec.json.encode(asked), headers=_MCP) as response:
        *_, last = (await response.text()).split("data: ")
    if msgspec.json.decode(last)["result"]["content"][0]["text"] != text:
        raise CallFailed(last)


async def _call(client: ToolClient, text: str) -> None:
    group = ToolGroup("g", 1)
    events = client.call(TOOL, {"text": text}, session="bench", group=group, timeout_s=60)
    async for event in events:
        if isinstance(event, ToolOutcome) and event.text != text:
            raise CallFailed(event.text)


def markdown(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """The whole report."""
    parts = ["# What a tool call costs the server", listing(facts), _NOTE]
    for concurrent in sorted({row.concurrent for row in rows}):
        parts += [f"## {concurrent} at once", _cells(rows, concurrent)]
    parts += ["## Goals", table(["goal", "found", ""], _goals(rows))]
    return "\n\n".join(parts) + "\n"


def _cells(rows: Sequence[Row], concurrent: int) -> str:
    head = ["server", "CPU ms", "added ms", "calls/s of one core", "calls/s by the clock", "p50 ms"]
    lines = []
    for name in dict.fromkeys(row.server for row in rows):
        own = [row for row in rows if (row.server, row.concurrent) == (name, concurrent)]
        figures = [
            _spread([row.cpu_ms for row in own], 2),
            "" if name == "plain" else _spread(_added(rows, name, concurrent), 2),
            _spread([row.capacity for row in own], 0),
            _spread([row.rate for row in own], 0),
            _spread([row.p50_ms for row in own], 1),
        ]
        lines.append([_NAMES[name], *figures])
    return table(head, lines)


def _added(rows: Sequence[Row], name: str, concurrent: int) -> list[float]:
    """By repetition: what a call costs more than at the plain endpoint."""
    ours, plain = (
        [row.cpu_ms for row in rows if (row.server, row.concurrent) == (one, concurrent)]
        for one in (name, "plain")
    )
    return [a - b for a, b in zip(ours, plain, strict=True)]


def _goals(rows: Sequence[Row]) -> list[list[str]]:
    lines = []
    for concurrent in sorted({row.concurrent for row in rows}):
        added = statistics.median(_added(rows, "ours", concurrent))
        own = [row for row in rows if (row.server, row.concurrent) == ("ours", concurrent)]
        rate = statistics.median(row.capacity for row in own)
        at = f"at {concurrent} at once"
        lines += [
            [f"at most 1.0 ms added {at}", f"{added:.2f} ms", _verdict(added <= _MOST_ADDED_MS)],
            [
                f"at least 1,000 calls/s of one core {at}",
                f"{rate:.0f}",
                _verdict(rate >= _LEAST_RATE),
            ],
        ]
    return lines


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def _spread(values: Sequence[float], digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def _facts(options: Options) -> dict[str, str]:
    return {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "work": "a tool that returns its text, so all that is measured is the server's own cost",
        "client": "the gateway's pooled MCP client, pinned to another core than the server",
        "repetitions": f"{options.reps}, interleaved, {options.calls} calls each",
    }


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--concurrent", default="16,64", help="comma list of calls at once")
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--fastmcp", type=Path, help="a Python that has fastmcp; none: left out")
    parser.add_argument("--out", type=Path, default=Path("tools_speed"), help="stem: .md and .json")


def _main(args: argparse.Namespace) -> None:
    concurrent = tuple(map(int, args.concurrent.split(",")))
    options = Options(concurrent, args.calls, args.reps, args.fastmcp, args.out)
    facts = _facts(options)
    if cores := layout(usable()):
        pin(os.getpid(), cores.load)
    rows = run(options, cores)
    report = msgspec.json.encode({"facts": facts, "rows": rows})
    args.out.with_suffix(".json").write_bytes(msgspec.json.format(report))
    args.out.with_suffix(".md").write_text(markdown(rows, facts))


TOOLS_SPEED = Command("tools-speed", "the server's CPU per tool call", _configure, _main)
