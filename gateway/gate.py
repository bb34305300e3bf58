"""The gate before each engine: a turn waits here until its program fits the engine's KV pool."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import msgspec

from gateway.admission import Queue
from gateway.errors import Stopping
from gateway.program import Program, Rule, Used
from gateway.working_set import WorkingSet

_CHARS_PER_TOKEN = 4.0  # of a request's body, until it is measured
_RATIO_WEIGHT = 0.05


def _nobody_asks(_: Hashable) -> None:
    """For a gate by itself."""


class Wants(msgspec.Struct, frozen=True):
    """Who asks for a turn, and for how much."""

    key: Hashable
    tenant: str
    started_s: float
    size: int
    """Bytes of the request: the length of its prompt is not known before it is rendered."""
    rank: tuple[int, int] = (0, 0)
    """Its service tier and its own priority: lower goes first."""
    weight: float = 1.0
    """The tenant's share of the pool against the others'."""
    deadline_s: float | None = None
    """How long its client waits, from now on."""


@dataclass(slots=True)
class _Door:
    """One engine's gate."""

    set: WorkingSet
    programs: dict[Hashable, Program] = field(default_factory=dict)
    waiting: defaultdict[Hashable, list[asyncio.Future[None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    timer: asyncio.TimerHandle | None = None
    chars_per_token: float = _CHARS_PER_TOKEN


class Gate:
    """All engines' gates. Events drive them; a timer only where time alone lets somebody in."""

    def __init__(
        self,
        rule: Rule,
        queue: Queue,
        *,
        most_waiting: int,
        wait_s: float | None = None,
        clock: Callable[[], float],
        set_aside: Callable[[Hashable], None] = _nobody_asks,
    ) -> None:
        """`set_aside` hears of every program that makes room for another; a turn waits at most
        `wait_s` for its program."""
        self._rule = rule
        self._queue = queue
        self._most_waiting = most_waiting
        self._wait_s = math.inf if wait_s is None else wait_s
        self.clock = clock
        self._doors: dict[str, _Door] = {}
        self._closed = False
        self._set_aside = set_aside

    def turn(self, engine: str, capacity: int, wants: Wants) -> "Pass":
        """Hold the right to a turn on an engine whose pool has so many tokens (0: not known).

        Raises, when it is entered:
            Overloaded: too many wait, or it would wait longer than its client.
            Stopping: the gateway is shutting down.
        """
        door = self._door(engine, capacity)
        for other in self._doors.values():
            if other is not door:
                self._leave(other, wants.key)
        program = door.programs.get(wants.key)
        if program is None:
            program = Program(wants.key, wants.tenant, wants.started_s)
            door.programs[wants.key] = program
        program.rank, program.weight = wants.rank, wants.weight
        return Pass(self, door, program, wants)

    def expect(self, engine: str, key: Hashable, away_s: tuple[float, float]) -> None:
        """The program's tools are expected to take so long in all."""
        door = self._doors.get(engine)
        program = door.programs.get(key) if door is not None else None
        if door is not None and program is not None:
            door.set.expect(program, away_s)

    def weight(self, engine: str, key: Hashable) -> float:
        """What a tool call of the program weighs against others in the tools' queue."""
        door = self._doors.get(engine)
        program = door.programs.get(key) if door is not None else None
        return door.set.weight(program) if door is not None and program is not None else 1.0

    def _door(self, engine: str, capacity: int) -> _Door:
        door = self._doors.get(engine)
        if door is None:
            door = self._doors[engine] = _Door(WorkingSet(self._rule, capacity))
        door.set.capacity = capacity
        return door

    def forget(self, key: Hashable) -> None:
        """The program has ended."""
        for door in self._doors.values():
            self._leave(door, key)

    def give_up(self, engine: str) -> None:
        """The engine's cache is empty: what idle programs had there counts no more."""
        door = self._doors.get(engine)
        if door is not None:
            for key in list(door.programs):
                self._leave(door, key)

    def _leave(self, door: _Door, key: Hashable) -> None:
        program = door.programs.get(key)
        if program is not None and not program.running and not program.asking:
            del door.programs[key]
            door.set.leave(program)
            self.look(door)

    def look(self, door: _Door) -> None:
        """Let in whoever may go, and look again when time may have let in the next."""
        if door.timer is not None:
            door.timer.cancel()
            door.timer = None
        if not door.set.waiting:
            return
        now = self.clock()
        while (program := door.set.grant(now)) is not None:
            for future in door.waiting.pop(program.key, ()):
                if not future.done():
                    future.set_result(None)
        self._tell(door)
        if (until := door.set.next_s(now)) is not None:
            loop = asyncio.get_running_loop()
            door.timer = loop.call_later(max(until - now, 1e-3), self.look, door)

    def _tell(self, door: _Door) -> None:
        for aside in door.set.take_set_aside():
            self._set_aside(aside.key)

    async def wait(self, door: _Door, program: Program, tokens: int, wants: Wants) -> None:
        """Return when the program may run one more turn, which is then running."""
        if self._closed:
            raise Stopping("the gateway is shutting down; try another one")
        door.set.ask(program, tokens, self.clock())
        if program.asking:
            self.look(door)
        else:
            self._tell(door)
        if not program.asking:
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        door.waiting[program.key].append(granted)
        deadline_s = math.inf if wants.deadline_s is None else wants.deadline_s
        patience_s = min(deadline_s, self._wait_s)
        try:
            self._refuse_hopeless(door, wants)
            # Heads must not take the places of those who are admitted.
            with self._queue.aside():
                async with asyncio.timeout(patience_s if patience_s < math.inf else None):
                    await granted
        except BaseException as error:
            self._give_up(door, program, granted)
            if not isinstance(error, TimeoutError):
                raise
            ahead = door.set.waiting
            if patience_s < deadline_s:
                said = f"its program has waited {patience_s:g} s"
                raise self._queue.refusal(said, "queue_timeout", ahead=ahead) from None
            said = "its time was up before its turn"
            raise self._queue.refusal(said, "deadline", ahead=ahead) from None

    def _refuse_hopeless(self, door: _Door, wants: Wants) -> None:
        waiting, deadline_s = door.set.waiting, wants.deadline_s
        if waiting > self._most_waiting:
            said = f"{self._most_waiting} programs wait already"
            raise self._queue.refusal(said, "queue_full", ahead=waiting - 1)
        if deadline_s is not None and self._queue.gap_s * waiting > deadline_s:
            said = "its turn would come after its deadline"
            raise self._queue.refusal(said, "deadline", ahead=waiting - 1)

    def _give_up(self, door: _Door, program: Program, granted: asyncio.Future[None]) -> None:
        # Granted and cancelled in the same turn of the loop: what it holds must not be lost.
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            door.set.end(program, self.clock(), None)
        elif granted in door.waiting.get(program.key, ()):
            door.waiting[program.key].remove(granted)
            if not door.waiting[program.key]:
                del door.waiting[program.key]
            door.set.withdraw(program)
        self.look(door)

    def end(self, door: _Door, program: Program, used: Used | None, size: int) -> None:
        """A turn has ended."""
        if used is not None and used.prompt:
            measured = size / used.prompt
            door.chars_per_token += _RATIO_WEIGHT * (measured - door.chars_per_token)
        door.set.end(program, self.clock(), used)
        self.look(door)

    def close(self) -> None:
        """Send away all that wait."""
        self._closed = True
        for door in self._doors.values():
            for futures in door.waiting.values():
                for future in futures:
                    if not future.done():
                        future.set_exception(Stopping("the gateway is shutting down"))
            if door.timer is not None:
                door.timer.cancel()

    def sets(self) -> dict[str, WorkingSet]:
        """Each engine's programs, to be read."""
        return {engine: door.set for engine, door in self._doors.items()}


@dataclass(slots=True)
class Pass:
    """The right to one turn, held."""

    gate: Gate
    door: _Door
    program: Program
    wants: Wants
    waited_s: float = 0.0
    used: Used | None = None
    """What the turn has cost, told before it ends; None where it failed, or nobody knows: then the
    size of the request stands for it."""
    away_s: tuple[float, float] | None = None
    """When its client is expected back; None where the turn goes on without it, or failed."""
    _began_s: float = 0.0
    _first_s: float = 0.0

    async def __aenter__(self) -> Self:
        """Wait for a turn of about as many tokens as the request's bytes make."""
        asked_s = self.gate.clock()
        tokens = int(self.wants.size / self.door.chars_per_token)
        await self.gate.wait(self.door, self.program, tokens, self.wants)
        self._began_s = self.gate.clock()
        self.waited_s = self._began_s - asked_s
        return self

    def begins(self) -> None:
        """The first event has come."""
        self._first_s = self.gate.clock()

    def measure(self) -> None:
        """Learn how fast prompts are computed; of a stream only, which begins with a token."""
        used = self.used
        if used is not None and used.cached is not None:
            self.door.set.measure(used.prompt - used.cached, self._first_s - self._began_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """The turn has ended."""
        if self.away_s is not None:
            self.door.set.expect(self.program, self.away_s, at_client=True)
        self.gate.end(self.door, self.program, self.used, self.wants.size)
