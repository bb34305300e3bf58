"""Where a turn waits before it enters the engine: the service's own gate, in virtual time."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.program import Program, Rule, Stand, Used
from gateway.working_set import WorkingSet


class Door(Protocol):
    """What the simulation asks of a gate; sessions are numbers, sizes real tokens."""

    @property
    def set_aside(self) -> int:
        """How often a session was set aside."""

    def ask(self, session: int, tokens: int, now: float) -> None:
        """A session wants a turn with a prompt of so many tokens."""

    def look(self, now: float) -> list[int]:
        """The sessions whose turns enter now."""

    def measure(self, computed: int, took_s: float) -> None:
        """So many tokens of a prompt were computed, and the first token came so long after the
        turn had entered."""

    def end(self, session: int, used: Used, away_s: tuple[float, float] | None, now: float) -> None:
        """A turn has ended; the next is expected after a time in this range."""

    def leave(self, session: int, now: float) -> None:
        """A session has ended."""

    def next_s(self, now: float) -> float | None:
        """When time alone may let somebody in."""

    def aside(self) -> list[int]:
        """The sessions set aside since this was asked last."""


@dataclass(slots=True)
class Open:
    """No gate."""

    set_aside: int = 0
    _asked: list[int] = field(default_factory=list)

    def ask(self, session: int, tokens: int, now: float) -> None:
        """It enters with the next look."""
        self._asked.append(session)

    def look(self, now: float) -> list[int]:
        """Everybody."""
        asked, self._asked = self._asked, []
        return asked

    def measure(self, computed: int, took_s: float) -> None:
        """Nothing is learned."""

    def end(self, session: int, used: Used, away_s: tuple[float, float] | None, now: float) -> None:
        """Nothing is counted."""

    def leave(self, session: int, now: float) -> None:
        """Nothing is kept."""

    def next_s(self, now: float) -> float | None:
        """Nobody ever waits."""
        return None

    def aside(self) -> list[int]:
        """Nobody."""
        return []


class Programs:
    """Admission by program, as `gateway.gate.Gate` drives it: one engine, one tenant."""

    def __init__(self, rule: Rule, pool: int) -> None:
        self.set = WorkingSet(rule, pool)
        self._programs: dict[Hashable, Program] = {}
        self._entered: list[int] = []

    @property
    def set_aside(self) -> int:
        """As the account says."""
        return self.set.set_aside

    def ask(self, session: int, tokens: int, now: float) -> None:
        """An admitted program's turn enters, another's waits."""
        program = self._programs.get(session)
        if program is None:
            program = self._programs[session] = Program(session, "", now)
        self.set.ask(program, tokens, now)
        if not program.asking:
            self._entered.append(session)

    def look(self, now: float) -> list[int]:
        """Those admitted already, and the heads that may go."""
        entered, self._entered = self._entered, []
        while (program := self.set.grant(now)) is not None:
            entered.append(_number(program))
        return entered

    def measure(self, computed: int, took_s: float) -> None:
        """The prefill rate is learned."""
        self.set.measure(computed, took_s)

    def end(self, session: int, used: Used, away_s: tuple[float, float] | None, now: float) -> None:
        """The program is idle from now on."""
        program = self._programs[session]
        self.set.end(program, now, used)
        self.set.expect(program, away_s)

    def leave(self, session: int, now: float) -> None:
        """Its context counts no more."""
        self.set.leave(self._programs.pop(session))

    def next_s(self, now: float) -> float | None:
        """As the account says."""
        return self.set.next_s(now)

    def aside(self) -> list[int]:
        """Idle programs that had to make room."""
        gone = [p for p in self.set.take_set_aside() if p.stand is Stand.OUT]
        return [_number(program) for program in gone if program.key in self._programs]


def _number(program: Program) -> int:
    assert isinstance(program.key, int)
    return program.key
