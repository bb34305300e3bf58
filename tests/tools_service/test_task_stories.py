"""Whatever happens to tasks, each ends exactly once."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult

from tests.conformance.fixture_tools import NAME
from tools_service.answers import asked
from tools_service.config import TasksConfig
from tools_service.ears import Ears
from tools_service.errors import Draining
from tools_service.task_store import MemoryStore, Task
from tools_service.tasks import Tasks
from tools_service.tools.asks import NOTHING, InputNeeded, Inputs

STEPS = st.sampled_from(["ask", "end", "fail", "crash"])
EVENTS = st.sampled_from(["begin", "step", "answer", "cancel", "drain", "wait"])


@dataclass
class CountingStore(MemoryStore):
    """Counts how often each task ended."""

    ends: Counter[str] = field(default_factory=Counter)
    last: dict[str, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(most=99, per_caller=99)

    async def save(self, task: Task) -> None:
        self.ends[task.id] += task.ended
        self.last[task.id] = task
        await super().save(task)


@dataclass
class Script:
    """A leg of a call whose every run does the next step, when the test lets it."""

    steps: list[str]
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def __call__(self, inputs: Inputs, ears: Ears) -> CallToolResult | InputRequiredResult:
        await self.gate.acquire()
        match self.steps.pop(0) if self.steps else "end":
            case "ask":
                return asked(InputNeeded({"name": NAME}))
            case "fail":
                raise MCPError(-32603, "no")
            case "crash":
                raise RuntimeError("a bug")
        return CallToolResult(content=[])


async def play(story: list[tuple[str, int, list[str]]]) -> CountingStore:
    store = CountingStore()
    tasks = Tasks(TasksConfig(), store)
    begun: list[tuple[str, Script]] = []
    async with asyncio.timeout(240), tasks.running():
        for event, number, steps in story:
            if event == "begin":
                script = Script(list(steps))
                try:
                    begun.append(((await tasks.begin("one", script, NOTHING)).id, script))
                except Draining:
                    continue
            elif event == "drain":
                tasks.drain()
            elif event == "wait":
                await asyncio.sleep(0)
            elif begun:
                id, script = begun[number % len(begun)]
                if event == "step":
                    script.gate.release()
                elif event == "cancel":
                    await tasks.cancel("one", id)
                else:
                    asks = (await tasks.find("one", id)).asks
                    await tasks.answer("one", id, {key: {"action": "accept"} for key in asks})
    assert tasks.live == 0
    assert {id for id, _ in begun} == set(store.ends)
    return store


@settings(deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 5), st.lists(STEPS, max_size=3)), max_size=40))
def test_every_task_ends_exactly_once(story: list[tuple[str, int, list[str]]]) -> None:
    store = asyncio.run(play(story))
    assert set(store.ends.values()) <= {1}
    for task in store.last.values():
        assert task.ended
        assert (task.result is not None) == (task.status == "completed")
        assert (task.error is not None) == (task.status == "failed")
        assert not task.asks
