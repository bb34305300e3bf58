"""Whatever happens to calls, tools and callers: every call has one outcome, and nothing is left."""

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools_service.test_retries import ONCE, silent
from tests.tools_service.tool_stand_ins import Run, Stand, Trial, opened
from tools_service.call import Answer, Call
from tools_service.errors import RateLimited, ToolFailed, Transient
from tools_service.policy import Group

OUTCOMES = ("ok", "error", "timeout", "refused", "cancelled")
FAILURES = (Transient("busy"), RateLimited("web", 0.0), ToolFailed("no"), RuntimeError("bug"))

steps = st.tuples(
    st.sampled_from(["read", "read", "once", "hasty", "end", "end", "fail", "leave"]),
    st.integers(0, 7),
)


@dataclass
class World:
    """The service, who waits for what, and what runs."""

    service: Stand
    tools: tuple[Trial, Trial]
    callers: list[asyncio.Task[Answer]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    once: list[object] = field(default_factory=list)

    def ask(self, tool: str, number: int, deadline_s: float | None = None) -> None:
        group = Group(id=f"g{number % 3}", deadline_s=deadline_s)
        call = Call(tool, {"number": number}, group)
        self.callers.append(asyncio.create_task(self.service.parts.executor.call(call, silent)))

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.wait(self.callers, timeout=0)
        for tool in self.tools:
            while not tool.begun.empty():
                self.runs.append(run := tool.begun.get_nowait())
                if tool.name == "once":
                    self.once.append(run.arguments["number"])
        self.runs = [run for run in self.runs if not run.end.done()]

    async def play(self, act: str, which: int) -> None:
        match act:
            case "read":
                self.ask("trial", which % 3)
            case "once":
                self.ask("once", 100 + len(self.callers))
            case "hasty":
                self.ask("trial", which % 3, deadline_s=0.001)
            case "end" if self.runs:
                self.runs[which % len(self.runs)].answers()
            case "fail" if self.runs:
                self.runs[which % len(self.runs)].fails(FAILURES[which % len(FAILURES)])
            case "leave" if self.callers:
                self.callers[which % len(self.callers)].cancel()
        if self.callers:
            await self.settle()

    async def end(self) -> None:
        while not all(caller.done() for caller in self.callers):
            await self.settle()
            for run in self.runs:
                run.answers()
            await asyncio.wait(self.callers, timeout=0.001)


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, max_size=50), st.integers(1, 4))
def test_every_call_has_one_outcome_and_nothing_is_left(
    story: list[tuple[str, int]], slots: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(story, slots, Path(folder) / "audit.jsonl"))


def records(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line["tool"], line["outcome"]) for line in map(json.loads, lines)]


async def _play(story: list[tuple[str, int]], slots: int, path: Path) -> None:
    tools = (Trial(), Trial(name="once", annotations=ONCE, upstream=None))
    about = {"trial": {"expected_s": (0.001, 0.001), "cache_s": 0.01}}
    trouble = {"retry": {"pause_s": 0.001}, "breaker": {"calls": 3, "open_s": 0.01}}
    bounds = {"slots": slots, "waiting": 4, "audit": {"path": path}}
    async with opened(*tools, per_tool=about, **trouble, **bounds) as service:
        world = World(service, tools)
        for act, which in story:
            await world.play(act, which)
        await world.end()
    # Runs whose last caller has left may have needed a moment more.
    executor = service.parts.executor
    assert (executor.running, executor.waiting, executor.calls) == (0, 0, 0)
    counted = {
        (tool.name, outcome): service.metric("calls_total", tool=tool.name, outcome=outcome)
        for tool in tools
        for outcome in OUTCOMES
    }
    assert sum(counted.values()) == len(world.callers)
    for caller in world.callers:
        assert caller.cancelled() or caller.result().outcome in OUTCOMES
    recorded = records(path)
    assert all(recorded.count(key) == count for key, count in counted.items())
    assert len(world.once) == len(set(world.once))
