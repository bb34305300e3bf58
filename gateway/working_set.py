"""Which programs may use an engine's KV cache at once: admission by program, not by request.

An agent's program is a chain of turns over one growing context. When the contexts of all live
programs outgrow the KV pool, every turn finds its cache evicted, and prefill takes the whole
engine. So only as many programs are admitted as fit; the others wait for their next turn, and a
program that is away for long may be set aside to let one in.

Values and a passed-in clock only: no event loop, no engine. With C the pool and R the prefill rate:

- Demand: the prefix that all share once, and of every admitted program what is its own and what the
  next turn will add. A head is admitted while the demand stays within `target` * C.
- Setting aside: an idle program that returns in r seconds wastes its tokens for r; bringing it back
  costs the pool for C / R. Idle programs with r > `patience` * C / R go, the longest away first, if
  that lets the head in. r is what the absence, in a tool or at the client, is expected to last
  still (`engine.outlook`). Who that is, is looked up once for many heads (`absences.py`).
- Growth: admitted programs may outgrow the target by `slack` * C. Beyond, idle ones are set aside,
  the smallest first: what a context costs to compute again grows faster than its length.
- Rotation: for a head that has waited `bound_s` any idle program makes room, the smallest first. As
  these have to be computed again, that may take `rotation` of the prefill rate and no more: with
  more programs than that lets take turns, waits grow, and the cache doesn't thrash.
- Order of heads: those that have waited `bound_s` before the others; then by class, then the tenant
  that holds least for its weight, then the program that started first; a second of waiting beyond
  `grace_s` counts as `aging` seconds of an earlier start. Of those that have waited `bound_s`, not
  who started first but who waits longest.
- Guard: turns of admitted programs that find less than half of their context cached say that the
  account is wrong, and the target falls; when nearly all is found it rises again.

Sources: ThunderAgent (arXiv 2602.13692) for the account and the pause at tool boundaries, InferCept
(arXiv 2402.01869) for weighing waste against recomputation, CONCUR (arXiv 2601.22705): the guard.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from gateway.absences import Absences
from gateway.guard import Guard
from gateway.program import Program, Rule, Stand, Used

# A first token that waited for others in the engine tells too low a rate: few are as fast as it is.
_RATE_UP, _RATE_DOWN = 0.3, 0.02
_KNEE = 0.8  # of what may be filled: below it, waiting costs nobody anything
_MEASURED_TOKENS = 256  # of prefill, from which on a first token's time tells the rate


@dataclass(slots=True)
class WorkingSet:
    """The programs of one engine: `ask` for a turn, `grant` until nobody may, `end` each turn."""

    rule: Rule
    capacity: int
    """The KV pool in tokens; 0 where it is not known, and then everybody is admitted."""
    rate: float = field(init=False)
    set_aside: int = 0
    """How often a program has been set aside."""
    _admitted: dict[Hashable, Program] = field(default_factory=dict)
    _heads: dict[Hashable, Program] = field(default_factory=dict)
    _charges: float = 0.0
    _held: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _prefixes: Counter[int] = field(default_factory=Counter)
    _guard: Guard = field(init=False)
    _absences: Absences = field(default_factory=Absences)
    _gone: list[Program] = field(default_factory=list)
    _paid_s: float = 0.0
    """When what rotation has cost so far is paid for."""

    def __post_init__(self) -> None:
        self._guard = Guard(self.rule.target)
        self.rate = self.rule.prefill_rate

    @property
    def waiting(self) -> int:
        """Programs whose next turn is held."""
        return len(self._heads)

    @property
    def admitted(self) -> int:
        """Programs whose context counts."""
        return len(self._admitted)

    @property
    def demand(self) -> float:
        """Tokens that all admitted programs need, the shared prefix once."""
        return max(self._prefixes, default=0) + self._charges

    @property
    def target(self) -> float:
        """The share of the pool that the demand may reach."""
        return self._guard.target

    @property
    def ratio(self) -> float:
        """Demand over the pool."""
        return self.demand / self.capacity if self.capacity else 0.0

    def needed_ratio(self, now: float) -> float:
        """Demand over the pool without the idle programs that would make room for others."""
        if not self.capacity:
            return 0.0
        idle = (p.charge for p in self._idle() if p.returns_in_s(now) > self._patience_s)
        return max(self.demand - sum(idle), 0.0) / self.capacity

    def ask(self, program: Program, tokens: int, now: float) -> None:
        """The program wants a turn whose prompt is about so long.

        It runs at once if the program is admitted, else it waits for `grant`.
        """
        program.tokens = max(tokens, program.tokens if program.turns else 0)
        program.away_s, program.at_client = None, False
        if program.stand in (Stand.IDLE, Stand.RUNNING):
            program.stand = Stand.RUNNING
            program.running += 1
            self._count(program)
            self._shrink()
            return
        program.asking += 1
        if program.stand is Stand.OUT:
            program.stand, program.since_s = Stand.WAITING, now
            self._heads[program.key] = program

    def weight(self, program: Program) -> float:
        """What a tool call of the program weighs: 1 + pressure * its context over the mean one.

        Pressure rises from 0 at the knee to 1 at the target. What is set aside keeps nothing.
        """
        if not self.capacity or program.key not in self._admitted:
            return 1.0
        most = self.target * self.capacity
        pressure = min(max((self.demand / most - _KNEE) / (1 - _KNEE), 0.0), 1.0)
        mean = self._charges / len(self._admitted)
        return 1 + pressure * program.charge / mean if mean > 0 else 1.0

    def take_set_aside(self) -> list[Program]:
        """Those that have been set aside since this was last asked."""
        gone, self._gone = self._gone, []
        return gone

    def grant(self, now: float) -> Program | None:
        """The next head, from now on admitted and running; None while it must wait."""
        if not self._heads:
            return None
        head = min(self._heads.values(), key=lambda program: self._order(program, now))
        if not (self._fits(head) or self._wait_out(head, now) or self._rotate(head, now)):
            return None
        del self._heads[head.key]
        head.stand = Stand.RUNNING
        head.running, head.asking = head.asking, 0
        self._admitted[head.key] = head
        self._count(head)
        return head

    def end(self, program: Program, now: float, used: Used | None) -> None:
        """A turn has ended; `used` is None where it failed or was cut off."""
        program.running -= 1
        if not program.running:
            program.stand, program.since_s = Stand.IDLE, now
        if used is None:
            return
        due = min(program.kept, used.prompt)
        # What was set aside may well be lost, and an engine that doesn't tell has missed nothing.
        if self.capacity and due and used.cached is not None:
            self._guard.take(due, min(used.cached, due), self.ratio)
        program.take(used)
        self._count(program)

    def measure(self, prefilled: int, took_s: float) -> None:
        """Learn the prefill rate: tokens computed, and the time to the first new one."""
        if prefilled >= _MEASURED_TOKENS and took_s > 0:
            rate = prefilled / took_s
            self.rate += (_RATE_UP if rate > self.rate else _RATE_DOWN) * (rate - self.rate)

    def expect(
        self, program: Program, away_s: tuple[float, float] | None, *, at_client: bool = False
    ) -> None:
        """Tell how long an idle program is expected to be away, from its last turn's end on."""
        program.away_s, program.at_client = away_s, at_client

    def withdraw(self, program: Program) -> None:
        """One of the turns that wait is wanted no more."""
        program.asking -= 1
        if not program.asking:
            del self._heads[program.key]
            program.stand = Stand.OUT

    def leave(self, program: Program) -> None:
        """The program has ended: its context counts no more. Nothing of it may run or wait."""
        assert program.stand in (Stand.IDLE, Stand.OUT), program.stand
        if program.stand is Stand.IDLE:
            self._drop(program)

    def next_s(self, now: float) -> float | None:
        """When time alone may let a head in: None when nobody waits, or only for a turn's end."""
        if not self._heads:
            return None
        bounds = [head.since_s + self.rule.bound_s for head in self._heads.values()]
        times = [max(bound, self._paid_s) for bound in bounds]
        times.append(self._absences.next_s)
        return min((time for time in times if now < time < math.inf), default=None)

    @property
    def _patience_s(self) -> float:
        return self.rule.patience * self.capacity / self.rate

    def _idle(self) -> Iterable[Program]:
        return (p for p in self._admitted.values() if p.stand is Stand.IDLE)

    def _drop(self, program: Program) -> None:
        del self._admitted[program.key]
        program.stand = Stand.OUT
        self._count(program, gone=True)

    def _count(self, program: Program, *, gone: bool = False) -> None:
        if program.counted is not None:
            charge, shared = program.counted
            self._charges -= charge
            self._held[program.tenant] -= charge
            self._prefixes[shared] -= 1
            if not self._prefixes[shared]:
                del self._prefixes[shared]
        program.counted = None if gone else (program.charge, program.shared)
        if program.counted is not None:
            charge, shared = program.counted
            self._charges += charge
            self._held[program.tenant] += charge
            self._prefixes[shared] += 1

    def _fits(self, head: Program, freed: float = 0.0) -> bool:
        if not self.capacity or not self._admitted:
            return True  # whoever is alone is admitted, however long: nobody else could be harmed
        shared = max(head.shared, max(self._prefixes, default=0))
        return shared + self._charges - freed + head.charge <= self.target * self.capacity

    def _wait_out(self, head: Program, now: float) -> bool:
        """Set aside who is away for longer than it pays to keep, if that lets the head in."""
        absences, patience_s = self._absences, self._patience_s
        if self._make_room(head, absences.still(patience_s, now)):
            return True
        if not absences.may_look(now):
            return False
        absences.look(self._idle(), patience_s, now)
        if self._make_room(head, absences.still(patience_s, now)):
            return True
        absences.pause(now)
        return False

    def _rotate(self, head: Program, now: float) -> bool:
        """Set anybody idle aside for a head that has waited long enough, if that is paid for."""
        if now < max(head.since_s + self.rule.bound_s, self._paid_s):
            return False
        before = self._charges
        if not self._make_room(head, self._smallest()):
            return False
        rate = self.rule.rotation * self.rate
        self._paid_s = now + (before - self._charges) / rate if rate else math.inf
        return True

    def _make_room(self, head: Program, idle: Iterable[Program]) -> bool:
        """Set these idle programs aside in their order, as many as it takes, or none."""
        gone: list[Program] = []
        freed = 0.0
        for program in idle:
            gone.append(program)
            freed += program.charge
            if self._fits(head, freed) or len(gone) == len(self._admitted):
                self._set_aside(gone)
                return True
        return False

    def _shrink(self) -> None:
        """Set idle programs aside as far as the admitted have outgrown the pool."""
        over = self.demand - (self.target + self.rule.slack) * self.capacity
        if not self.capacity or over <= 0:
            return
        gone: list[Program] = []
        for program in self._smallest():
            if over <= 0:
                break
            gone.append(program)
            over -= program.charge
        self._set_aside(gone)

    def _smallest(self) -> list[Program]:
        return sorted(self._idle(), key=lambda program: program.tokens)

    def _set_aside(self, gone: list[Program]) -> None:
        for program in gone:
            self._drop(program)
            program.kept = 0
        self._gone += gone
        self.set_aside += len(gone)

    def _order(self, head: Program, now: float) -> tuple[bool, tuple[int, int], float, float]:
        waited_s = now - head.since_s
        held = self._held[head.tenant] / head.weight
        if waited_s >= self.rule.bound_s:
            return False, head.rank, held, head.since_s
        aged_s = self.rule.aging * max(0.0, waited_s - self.rule.grace_s)
        return True, head.rank, held, head.started_s - aged_s
