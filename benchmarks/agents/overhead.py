"""What retention adds to vLLM's scheduler: `python -m benchmarks.agents.overhead`.

A process of its own, as it needs vLLM. The scheduler, the KV cache manager and retention are real;
the clock is modelled. The time spent in retention is measured within each run, so that what else
the machine does falls on both sides of the ratio.
"""

import argparse
import gc
import heapq
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from time import thread_time

from benchmarks.agents.context import Context
from benchmarks.agents.costs import CARDS, MODELS, Costs
from benchmarks.agents.engine import Engine, Run, Shape
from engine.outlook import Outlook
from engine.vllm.plugin.scheduler import AgentScheduler

_FIRST, _GROWTH, _ANSWER, _TURNS = (2_000, 6_000), (100, 900), (60, 400), 12
_PREFIX = 1_000
_POOL = 3_200_000  # a tenth less than the sessions' contexts
_AT_ONCE = 48
_AWAY_S = 4.0  # median


@dataclass(slots=True)
class Stopwatch:
    """Adds up the time spent in what it wraps, calls within calls once."""

    spent_s: float = 0.0
    calls: int = 0
    _is_running: bool = False

    @property
    def total_s(self) -> float:
        """Without what it takes to look at the clock."""
        return self.spent_s - self.calls * _look_s()

    def time(self, owner: object, name: str) -> None:
        """Wrap a method of one object."""
        plain: Callable[..., object] = getattr(owner, name)

        def timed(*args: object, **kwargs: object) -> object:
            if self._is_running:
                return plain(*args, **kwargs)
            self._is_running = True
            self.calls += 1
            began_s = thread_time()
            try:
                return plain(*args, **kwargs)
            finally:
                self.spent_s += thread_time() - began_s
                self._is_running = False

        setattr(owner, name, timed)


@cache
def _look_s() -> float:
    """Seconds between two looks at the clock."""
    gaps = []
    for _ in range(10_000):
        began_s = thread_time()
        gaps.append(thread_time() - began_s)
    return statistics.median(gaps)


@dataclass(slots=True)
class Crowd:
    """So many sessions, of which a few are in the engine at a time; who is done is replaced."""

    engine: Engine
    rng: random.Random
    size: int
    contexts: dict[int, Context] = field(default_factory=dict)
    turns: dict[int, int] = field(default_factory=dict)
    away: list[tuple[float, int]] = field(default_factory=list)
    made: int = 0

    def begin(self) -> None:
        """A new session, which comes when there is room."""
        self.contexts[self.made] = Context(self.made, _PREFIX)
        self.turns[self.made] = 0
        heapq.heappush(self.away, (self.engine.now, self.made))
        self.made += 1

    def fill(self) -> None:
        """Let turns come until the engine has enough."""
        while self.engine.busy < _AT_ONCE:
            _, session = heapq.heappop(self.away)
            context = self.contexts[session]
            before = len(context.tokens)
            new = self.rng.randrange(*(_GROWTH if before else _FIRST))
            prompt, _ = context.ask(before + new, before)
            self._tell(session, "coming")
            answer = self.rng.randrange(*_ANSWER)
            self.engine.add(session, self.turns[session], context, prompt, answer, 0)

    def ended(self, run: Run) -> None:
        """A turn has ended."""
        session = run.session
        self.turns[session] += 1
        if self.turns[session] == _TURNS:
            self._tell(session, "done")
            del self.contexts[session], self.turns[session]
            self.begin()
            return
        away_s = _AWAY_S * self.rng.lognormvariate(0.0, 1.2)
        self._tell(session, "away")
        heapq.heappush(self.away, (self.engine.now + away_s, session))

    def _tell(self, session: int, stand: str) -> None:
        outlook = Outlook(str(session), stand, 0.0, (_AWAY_S / 4, _AWAY_S * 4))  # type: ignore[arg-type]
        self.engine.scheduler.expect([outlook])


def measure(sessions: int, steps: int, seed: int) -> tuple[float, float]:
    """Microseconds per step of the scheduler with retention, and those of retention alone."""
    costs = Costs(CARDS["h100"], MODELS["20b-moe"])
    shape = Shape(_POOL, scale=1, sequences=_AT_ONCE)
    engine = Engine(shape, costs.clock(), AgentScheduler)
    scheduler = engine.scheduler
    scheduler.keeper.clock = lambda: engine.now
    crowd = Crowd(engine, random.Random(seed), sessions)
    for _ in range(sessions):
        crowd.begin()

    def advance() -> None:
        crowd.fill()
        for run in engine.step().ended:
            crowd.ended(run)

    while crowd.away and min(crowd.turns.values()) == 0:
        advance()
    gc.collect()
    gc.freeze()  # as vLLM does when it has started
    whole, ours = Stopwatch(), Stopwatch()
    for name in ("schedule", "update_from_output", "add_request", "expect"):
        whole.time(scheduler, name)
    for name in ("arrive", "hold", "leave", "expect", "_victims"):
        ours.time(scheduler.keeper, name)
    queue = scheduler.kv_cache_manager.block_pool.free_block_queue
    queue._victims = scheduler.keeper._victims
    for name in ("_ready", "_sweep", "prepend_n", "_take_claimed"):
        ours.time(queue, name)
    ours.time(scheduler, "_note_step")
    for _ in range(steps):
        advance()
    gc.unfreeze()
    assert len(crowd.contexts) == sessions
    assert scheduler.keeper.evicted["away"], "the pool was not full"
    return whole.total_s / steps * 1e6, ours.total_s / steps * 1e6


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--reps", type=int, required=True)
    args = parser.parse_args()
    shares = []
    print("| run | scheduler, µs a step | retention, µs a step | share |\n|---|---|---|---|")  # noqa: T201
    for seed in range(1, args.reps + 1):
        step_us, ours_us = measure(args.sessions, args.steps, seed)
        shares.append(ours_us / step_us)
        print(f"| {seed} | {step_us:.0f} | {ours_us:.1f} | {shares[-1]:.2%} |", flush=True)  # noqa: T201
    print(f"\nmedian share {statistics.median(shares):.2%}")  # noqa: T201


if __name__ == "__main__":
    _main()
