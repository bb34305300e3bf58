"""A baseline's gate: ThunderAgent's rule (arXiv 2602.13692), one engine.

When the sessions that count outgrow the pool, those in tools are paused, the smallest first. What
waits is let in every few seconds where it fits, sessions that have begun before new ones, the
smallest first; a session in a tool then weighs less the longer it is there: its weight halves every
so many seconds (one in the paper, never as the published code is set).
"""

from dataclasses import dataclass

from benchmarks.agents.sessions import PREFIX
from gateway.program import Used

_TICK_S = 5.0
_RESERVE = 100  # tokens a program
_LONGEST_WAIT_S = 1800.0


@dataclass(slots=True)
class _Program:
    tokens: int
    """Its own, without the prefix that all share."""
    since_s: float
    is_begun: bool = False
    is_acting: bool = False
    is_paused: bool = False


class Thunder:
    """Who counts, who is paused and who waits."""

    def __init__(self, pool: int, half_life_s: float) -> None:
        self.set_aside = 0
        self._pool, self._half_life_s = pool, half_life_s
        self._programs: dict[int, _Program] = {}
        self._waiting: dict[int, _Program] = {}
        self._entered: list[int] = []
        self._aside: list[int] = []
        self._tick_s = 0.0

    def ask(self, session: int, tokens: int, now: float) -> None:
        """A known program enters unless it is paused, a new one if nobody waits and it fits."""
        own = max(tokens - PREFIX, 0)
        program = self._programs.get(session)
        if program is None:
            program = _Program(own, now, is_paused=True)
        program.tokens, program.is_acting, program.since_s = own, False, now
        if program.is_paused and (self._waiting or not self._fits(program, now)):
            self._waiting[session] = program
        else:
            self._enter(session, program)
        self._pause(now)

    def look(self, now: float) -> list[int]:
        """Those that entered at once, and at each tick the waiting that fit."""
        if self._waiting and now >= self._tick_s:
            self._tick_s = now + _TICK_S
            self._resume(now)
        entered, self._entered = self._entered, []
        return entered

    def measure(self, computed: int, took_s: float) -> None:
        """Nothing is learned."""

    def end(self, session: int, used: Used, away_s: tuple[float, float] | None, now: float) -> None:
        """The program is in a tool from now on."""
        program = self._programs[session]
        program.tokens = max(used.prompt + used.completion - PREFIX, 0)
        program.is_begun = program.is_acting = True
        program.since_s = now

    def leave(self, session: int, now: float) -> None:
        """Its context counts no more."""
        self._programs.pop(session)

    def next_s(self, now: float) -> float | None:
        """The next tick, if somebody waits."""
        return max(self._tick_s, now) if self._waiting else None

    def aside(self) -> list[int]:
        """Those paused since this was asked last."""
        gone, self._aside = self._aside, []
        return [session for session in gone if session in self._programs]

    def _weight(self, program: _Program, now: float) -> float:
        if not program.is_acting:
            return 1.0
        return float(2.0 ** -((now - program.since_s) / self._half_life_s))

    def _demand(self, now: float) -> float:
        counted = (p for p in self._programs.values() if not p.is_paused)
        return PREFIX + sum(p.tokens * self._weight(p, now) + _RESERVE for p in counted)

    def _fits(self, program: _Program, now: float) -> bool:
        return self._demand(now) + program.tokens + _RESERVE <= self._pool

    def _enter(self, session: int, program: _Program) -> None:
        program.is_paused = False
        self._programs[session] = program
        self._entered.append(session)

    def _pause(self, now: float) -> None:
        """Only programs in tools: what runs is never cut off."""
        counted = (p for p in self._programs.values() if not p.is_paused)
        over = PREFIX + sum(p.tokens + _RESERVE for p in counted) - self._pool
        acting = [(p.tokens, s) for s, p in self._programs.items() if p.is_acting]
        for _, session in sorted(acting):
            if over <= 0:
                return
            program = self._programs[session]
            if program.is_paused:
                continue
            over -= program.tokens + _RESERVE
            program.is_paused = True
            self.set_aside += 1
            self._aside.append(session)

    def _resume(self, now: float) -> None:
        order = sorted(
            self._waiting.items(),
            key=lambda item: (
                now - item[1].since_s < _LONGEST_WAIT_S,
                not item[1].is_begun,
                item[1].tokens,
                item[0],
            ),
        )
        anybody = any(not program.is_paused for program in self._programs.values())
        for session, program in order:
            overdue = now - program.since_s >= _LONGEST_WAIT_S
            if overdue or self._fits(program, now) or not anybody:
                del self._waiting[session]
                self._enter(session, program)
                anybody = True
