"""The tools service in virtual time: the real schedule and the real table, no clock."""

import heapq
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tools_workload import ToolCall, Turn
from tools_service.policy import POLICIES, Entry, Group, bound_s
from tools_service.runtimes import Expected, Table
from tools_service.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Variant:
    """A policy to compare; one that `knows` is told the true run times, the others learn."""

    name: str
    policy: str
    reserve: int | None = 0
    knows: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did to its calls and turns, in seconds; `least_s`: a turn that never waits.

    `bound_share` is the longest wait over the guarantee for that very call.
    """

    wait_mean_s: float
    wait_p95_s: float
    wait_longest_s: float
    turn_mean_s: float
    turn_p50_s: float
    turn_p95_s: float
    turn_p99_s: float
    least_s: float
    bound_share: float


@dataclass(frozen=True, slots=True)
class _Job:
    turn: int
    call: ToolCall
    guess: Expected | None
    bound_s: float


class World:
    """One service, one variant, one workload."""

    def __init__(self, variant: Variant, *, slots: int, longest_s: float) -> None:
        policy = POLICIES[variant.policy]
        self._schedule = Schedule(slots=slots, per_tool={}, policy=policy, reserve=variant.reserve)
        self._table = Table()
        # FIFO asks nobody, so nothing need be learned for it.
        self._learns = not variant.knows and variant.policy != "fifo"
        self._longest_s = longest_s
        self._jobs: dict[Entry, _Job] = {}
        self._ends: list[tuple[float, int, Entry]] = []
        self._started = 0
        self.waits_s: list[tuple[int, float, float]] = []
        """(turn, wait, its bound) of every call."""
        self.done_s: list[float] = []
        """When the last result of each turn came."""

    def run(self, turns: Sequence[Turn]) -> None:
        """Plays the whole workload, to the last result."""
        self.done_s = [0.0] * len(turns)
        for number, turn in enumerate(turns):
            self._run_until(turn.at_s)
            for call in turn.calls:
                self._come(number, turn.at_s, call)
            self._fill(turn.at_s)
        self._run_until(math.inf)

    def _come(self, turn: int, now: float, call: ToolCall) -> None:
        guess = self._table.expected(call.key) if self._learns else None
        expected_s = guess.mean_s if guess else call.run_s
        entry = Entry(call.key.tool, now, expected_s, Group(id=str(turn)))
        allowed_s = bound_s(self._schedule.waiting, self._schedule.kept, self._longest_s)
        self._jobs[entry] = _Job(turn, call, guess, allowed_s)
        self._schedule.add(entry)

    def _run_until(self, time_s: float) -> None:
        while self._ends and self._ends[0][0] <= time_s:
            now, _, entry = heapq.heappop(self._ends)
            self._schedule.finish(entry)
            job = self._jobs.pop(entry)
            self.done_s[job.turn] = now
            if job.guess:
                self._table.observe(job.call.key, "ok", job.call.run_s, job.guess, now)
            self._fill(now)

    def _fill(self, now: float) -> None:
        while (entry := self._schedule.start()) is not None:
            job = self._jobs[entry]
            self._started += 1
            self.waits_s.append((job.turn, now - entry.arrived, job.bound_s))
            heapq.heappush(self._ends, (now + job.call.run_s, self._started, entry))


def simulate(
    turns: Sequence[Turn], variant: Variant, *, slots: int, longest_s: float, dropped: float = 0.2
) -> Outcome:
    """Plays a workload; the first `dropped` share of it warms up and is not counted."""
    world = World(variant, slots=slots, longest_s=longest_s)
    world.run(turns)
    first = int(len(turns) * dropped)
    waits_s = sorted(wait_s for turn, wait_s, _ in world.waits_s if turn >= first)
    counted = list(zip(turns, world.done_s, strict=True))[first:]
    return summary(
        waits_s,
        sorted(done_s - turn.at_s for turn, done_s in counted),
        least_s=statistics.fmean(turn.least_s for turn, _ in counted),
        bound_share=max(wait_s / allowed_s for _, wait_s, allowed_s in world.waits_s),
    )


def summary(
    waits_s: Sequence[float], spans_s: Sequence[float], *, least_s: float, bound_share: float
) -> Outcome:
    """Figures from sorted waits of calls and sorted times of turns."""
    return Outcome(
        wait_mean_s=statistics.fmean(waits_s),
        wait_p95_s=_quantile(waits_s, 0.95),
        wait_longest_s=waits_s[-1],
        turn_mean_s=statistics.fmean(spans_s),
        turn_p50_s=_quantile(spans_s, 0.5),
        turn_p95_s=_quantile(spans_s, 0.95),
        turn_p99_s=_quantile(spans_s, 0.99),
        least_s=least_s,
        bound_share=bound_share,
    )


def _quantile(ranked: Sequence[float], share: float) -> float:
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]
