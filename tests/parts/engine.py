"""An engine that does what its script says."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import TypeAlias

from prometheus_client import Gauge
from prometheus_client.registry import Collector

from engine.errors import EngineDead, EngineError
from engine.outlook import Outlook
from engine.types import Call, EngineLoad, Event, Pool

Step: TypeAlias = Event | asyncio.Event | Exception
"""What a turn does next: give an event, wait until something has happened, or fail."""


class ScriptedEngine:
    """Plays its turns one after the other, the last again and again.

    `calls` are those it was asked; `left` is set once a call was closed before its end.
    """

    def __init__(
        self,
        *turns: Sequence[Step],
        name: str = "zero",
        model: str = "scripted",
        check: Callable[[Call], None] = lambda call: None,
    ) -> None:
        self.name = name
        self.model = model
        self.weight = 1.0
        self.pool: Pool | None = None
        self.max_model_len = 4096
        self.takes_outlooks = True
        self.died = asyncio.Event()
        self.turns = turns
        self.calls: list[Call] = []
        self.outlooks: list[Outlook] = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.running = 0
        self.kv_used_ratio = 0.0
        self.kv_tokens = 0
        self.waiting = 0
        self.spare = False
        self.is_asleep = False
        self.sleep_gate: asyncio.Event | None = None
        self.sleep_failure: EngineError | None = None
        self.wake_failure: EngineError | None = None
        self.ailment: EngineError | TimeoutError | None = None
        self.start_gate: asyncio.Event | None = None
        self.start_failure: EngineError | None = None
        self._check = check
        gauge = Gauge("scripted_calls", "Calls so far.", ["engine"], registry=None)
        gauge.labels(name).set_function(lambda: len(self.calls))
        self.collector: Collector = gauge

    async def start(self) -> None:
        """Wait for `start_gate`, fail with `start_failure`."""
        if self.start_gate is not None:
            await self.start_gate.wait()
        if self.start_failure is not None:
            raise self.start_failure

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Play the next turn."""
        assert not self.is_asleep, "nobody asks who sleeps"
        self._check(call)
        turn = self.turns[min(len(self.calls), len(self.turns) - 1)]
        self.calls.append(call)
        self.asked.set()
        self.running += 1
        ended = False
        try:
            for step in turn:
                if isinstance(step, Exception):
                    ended = True
                    raise step
                if isinstance(step, asyncio.Event):
                    await self._wait(step)
                else:
                    yield step
            ended = True
        finally:
            self.running -= 1
            if not ended:
                self.left.set()

    async def _wait(self, gate: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (gate, self.died)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.died.is_set():
            raise EngineDead(f"engine '{self.name}' is gone")

    def load(self) -> EngineLoad:
        """What runs now, and of the cache what the test has set."""
        return EngineLoad(
            self.running,
            self.waiting,
            kv_used_ratio=self.kv_used_ratio,
            kv_tokens=self.kv_tokens,
            is_asleep=self.is_asleep,
        )

    async def sleep(self) -> None:
        """Sleep, once `sleep_gate` opens, or fail with `sleep_failure`."""
        assert not self.running, "what runs would be lost"
        if self.sleep_gate is not None:
            await self.sleep_gate.wait()
        if self.sleep_failure is not None:
            raise self.sleep_failure
        self.is_asleep = True

    async def wake(self) -> None:
        """Wake up, or fail with `wake_failure`."""
        if self.wake_failure is not None:
            raise self.wake_failure
        self.is_asleep = False

    def expect(self, outlook: Outlook) -> None:
        """Keep it for the test."""
        self.outlooks.append(outlook)

    def offer(self, tools: Collection[str]) -> None:
        """A script knows which tools it calls."""

    def away(self, expected_s: tuple[float, float]) -> None:
        """A script's turns come when they come."""

    def weigh(self) -> float:
        """No call is worth more than another."""
        return 1.0

    async def check_health(self, timeout_s: float) -> None:
        """Raise the `ailment`, if there is one."""
        if self.ailment is not None:
            raise self.ailment

    async def drain(self, timeout_s: float) -> bool:
        """Whether nothing runs now."""
        return not self.running

    async def close(self) -> None:
        """Die; whatever waits in its script ends with EngineDead."""
        self.died.set()
