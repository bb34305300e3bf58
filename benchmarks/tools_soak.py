"""The tools service under steady, bounded load: does it hold on to anything?

Mixed calls by way of MCP: quick ones, failing ones, slow ones that their caller gives up, and more
shapes than the table has rows for. Memory, open files, tasks and rows are sampled throughout.
"""

import argparse
import asyncio
import itertools
import random
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import psutil

from benchmarks.commands import Command
from benchmarks.machine import describe
from benchmarks.tools_hosting import hosted
from benchmarks.tools_report import listing, table
from gateway.events import ToolGroup, ToolOutcome
from gateway.tool_client import ToolClient, ToolClientConfig

_CONCURRENT = 16
_WARM_UP = 0.2
# What one hour may add before it is called a leak; allocators are not still.
_MOST_MIB_PER_HOUR, _MOST_MIB = 60.0, 8.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment."""

    at_s: float
    calls: int
    rss_mib: float
    files: int
    tasks: float
    rows: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What was promised, what was found, and whether it holds."""

    text: str
    found: str
    met: bool


@dataclass
class Soak:
    """One run against one service."""

    url: str
    pid: int
    minutes: float
    calls: int = 0
    given_up: int = 0
    failed: int = 0

    async def run(self, every_s: float) -> list[Sample]:
        """Loads the service for as long as said, and samples it."""
        began_s, samples = time.monotonic(), []
        config = ToolClientConfig(f"{self.url}/mcp", connections=_CONCURRENT + 1)
        async with ToolClient(config) as client, aiohttp.ClientSession() as http:
            async with asyncio.TaskGroup() as tasks:
                end_s = began_s + 60 * self.minutes
                for number in range(_CONCURRENT):
                    tasks.create_task(self._work(client, random.Random(number), end_s))
                while time.monotonic() < end_s:
                    await asyncio.sleep(min(every_s, max(end_s - time.monotonic(), 0.01)))
                    samples.append(await self._sample(client, http, time.monotonic() - began_s))
            samples.append(await self._sample(client, http, time.monotonic() - began_s))
        return samples

    async def _work(self, client: ToolClient, chance: random.Random, end_s: float) -> None:
        for number in itertools.count():
            if time.monotonic() >= end_s:
                return
            await self._call(client, chance, number)
            self.calls += 1
            # Some idle time: the load is to be steady, not all that the machine can bear.
            await asyncio.sleep(chance.expovariate(1 / 0.1))

    async def _call(self, client: ToolClient, chance: random.Random, number: int) -> None:
        """One of: an echo of any size, a failure, a sleep heard to its end, a sleep given up."""
        act = chance.choices(("echo", "fail", "sleep", "leave"), (60, 15, 15, 10))[0]
        arguments = {"act": act, "shape": f"s{chance.randrange(500)}"}
        arguments["text"] = "x" * chance.randrange(20_000)
        group = ToolGroup(f"g{number}", 1)
        events = client.call("mixed", arguments, session="soak", group=group, timeout_s=30)
        async with aclosing(events):
            async for event in events:
                if act == "leave":
                    self.given_up += 1
                    return
                if isinstance(event, ToolOutcome):
                    self.failed += event.outcome != ("error" if act == "fail" else "ok")

    async def _sample(self, client: ToolClient, http: aiohttp.ClientSession, at_s: float) -> Sample:
        tasks = 0.0
        events = client.call("tasks", {}, session="soak", group=None, timeout_s=30)
        async for event in events:
            if isinstance(event, ToolOutcome):
                tasks = float(event.text)
        async with http.get(f"{self.url}/metrics") as response:
            text = await response.text()
        process = psutil.Process(self.pid)
        rss_mib = process.memory_info().rss / 2**20
        rows = _metric(text, "roundhouse_tools_service_table_shapes")
        return Sample(at_s, self.calls, rss_mib, process.num_fds(), tasks, rows)


def _metric(text: str, name: str) -> float:
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def slope(samples: Sequence[Sample]) -> float:
    """MiB per hour, by least squares over the samples after the warm-up."""
    counted = [sample for sample in samples if sample.at_s >= _WARM_UP * samples[-1].at_s]
    times = [sample.at_s / 3600 for sample in counted]
    sizes = [sample.rss_mib for sample in counted]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((at - middle) ** 2 for at in times)
    pairs = zip(times, sizes, strict=True)
    return sum((at - middle) * (size - mean) for at, size in pairs) / spread if spread else 0.0


def findings(samples: Sequence[Sample], failed: int) -> list[Finding]:
    """Whether memory, files and tasks are flat."""
    counted = [sample for sample in samples if sample.at_s >= _WARM_UP * samples[-1].at_s]
    first, last, rate = counted[0], counted[-1], slope(samples)
    grown = last.rss_mib - first.rss_mib
    flat = rate <= _MOST_MIB_PER_HOUR or grown <= _MOST_MIB
    resident = f"{first.rss_mib:.1f} to {last.rss_mib:.1f} MiB, slope {rate:+.1f} MiB/h"
    idle = f"{last.files} files, {last.tasks:.0f} tasks"
    most = max(sample.files for sample in counted)
    return [
        Finding("memory is flat after the warm-up", resident, flat),
        Finding("open files are bounded", f"at most {most}", most <= first.files + 2 * _CONCURRENT),
        Finding("nothing is left when the load ends", idle, last.tasks <= 10),
        Finding("the table keeps to its bound", f"{last.rows:.0f} rows", last.rows <= 65),
        Finding("every call ended as it should", f"{failed} did not", failed == 0),
    ]


def markdown(samples: Sequence[Sample], found: Sequence[Finding], facts: dict[str, str]) -> str:
    """The whole report."""
    goals = [[one.text, one.found, "met" if one.met else "**missed**"] for one in found]
    step = max(len(samples) // 20, 1)
    lines = [
        [f"{one.at_s:.0f}", *(f"{value:g}" for value in (one.calls, round(one.rss_mib, 1)))]
        + [f"{value:g}" for value in (one.files, one.tasks, one.rows)]
        for one in [*samples[:-1:step], samples[-1]]
    ]
    parts = ["# The tools service under steady load", listing(facts)]
    parts.append(table(["goal", "found", ""], goals))
    parts.append(table(["second", "calls", "RSS MiB", "files", "tasks", "rows"], lines))
    return "\n\n".join(parts) + "\n"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--out", type=Path, default=Path("tools_soak"), help="stem: .md and .json")


def _main(args: argparse.Namespace) -> None:
    settings = msgspec.json.encode({"port": 0, "slots": 8}).decode()
    with hosted([sys.executable, "-m", "benchmarks.tools_soaked"], settings) as (url, pid):
        soak = Soak(url, pid, args.minutes)
        samples = asyncio.run(soak.run(args.every))
    found = findings(samples, soak.failed)
    facts = {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "load": f"{_CONCURRENT} callers, {soak.calls} calls, {soak.given_up} of them given up",
    }
    report = msgspec.json.encode({"facts": facts, "findings": found, "samples": samples})
    args.out.with_suffix(".json").write_bytes(msgspec.json.format(report))
    args.out.with_suffix(".md").write_text(markdown(samples, found, facts))
    if not all(one.met for one in found):
        sys.exit(1)


TOOLS_SOAK = Command("tools-soak", "the tools service under load: flat?", _configure, _main)
