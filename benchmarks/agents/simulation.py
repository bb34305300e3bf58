"""Sessions, a gate and an engine under one virtual clock."""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from vllm.v1.core.sched.scheduler import Scheduler

from benchmarks.agents.context import Context
from benchmarks.agents.costs import Costs
from benchmarks.agents.doors import Door, Open, Programs
from benchmarks.agents.engine import Engine, Run, Shape
from benchmarks.agents.knowledge import Knowledge, make
from benchmarks.agents.pins import PinningScheduler
from benchmarks.agents.policies import Policy
from benchmarks.agents.records import Play, SessionRecord, TurnRecord
from benchmarks.agents.sessions import PREFIX, Script, Turn
from benchmarks.agents.thunder import Thunder
from engine.outlook import Outlook, Stand
from engine.vllm.plugin.scheduler import AgentScheduler
from gateway.program import Used

_PINNED_FIRST = 10**9  # milliseconds: ahead of all that came without a pin


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played: the same for every policy."""

    costs: Costs
    scripts: Sequence[Script]
    seed: int
    live: int
    """Sessions at once, where one that ends is replaced."""
    starts_s: Sequence[float] | None = None
    """When each session comes, whoever has ended; then `live` counts for nothing."""
    cap: int | None = None
    """How many sessions may be begun at once."""
    scale: int = 16


@dataclass(slots=True, eq=False)
class _Player:
    """One session as it goes."""

    number: int
    script: Script
    context: Context
    record: SessionRecord
    turn: int = 0
    came_s: float = 0.0
    entered_s: float = 0.0
    idle_s: float = 0.0
    """When its last turn ended."""
    kept: int = 0
    served: int = 0
    """Tokens of prompts and twice those of answers so far."""
    away_s: tuple[float, float] | None = None

    @property
    def now(self) -> Turn:
        return self.script[self.turn]


class Simulation:
    """One run of one policy."""

    def __init__(self, scene: Scene, policy: Policy) -> None:
        pool = scene.costs.pool
        if policy.unbounded:
            pool = sum(2 * max(turn.context for turn in script) for script in scene.scripts)
        self._scene, self._policy = scene, policy
        shape = Shape(pool, scene.scale, by_priority=policy.order != "fcfs")
        self._engine = Engine(shape, scene.costs.clock(), _scheduler(policy))
        self._door = _door(policy, pool)
        self._knowledge: Knowledge = make(policy.knows, scene.seed)
        self._players = [
            _Player(number, script, Context(number, PREFIX // scene.scale), SessionRecord(number))
            for number, script in enumerate(scene.scripts)
        ]
        self._to_come = deque(self._players)
        self._held: deque[_Player] = deque()
        self._begun = 0
        self._returns: list[tuple[float, int, _Player]] = []
        self._full_s = 0.0
        scheduler = self._engine.scheduler
        if isinstance(scheduler, AgentScheduler):
            scheduler.keeper.clock = lambda: self._engine.now
        elif isinstance(scheduler, PinningScheduler):
            scheduler.clock = lambda: self._engine.now
            scheduler.pin_s = policy.pin_s or 0.0

    def run(self) -> Play:
        """Play all sessions to their end."""
        if self._scene.starts_s is None:
            for _ in range(self._scene.live):
                self._arrive()
        while self._advance():
            pass
        left = [player.number for player in self._players if not player.record.ended_s]
        assert not left, f"sessions {left} never ended"
        engine, scheduler = self._engine, self._engine.scheduler
        return Play(
            sessions=[player.record for player in self._players],
            ended_s=engine.now,
            full_s=self._full_s,
            steps=engine.steps,
            preemptions=engine.preemptions,
            set_aside=self._door.set_aside,
            evicted=scheduler.keeper.counts() if isinstance(scheduler, AgentScheduler) else {},
        )

    def _advance(self) -> bool:
        """One step of the engine, or a leap to what comes next; False when nothing comes."""
        engine = self._engine
        starts_s = self._scene.starts_s
        while starts_s and self._to_come and starts_s[self._to_come[0].number] <= engine.now:
            self._arrive()
        while self._returns and self._returns[0][0] <= engine.now:
            came_s, _, player = heapq.heappop(self._returns)
            self._knowledge.learn(player.now, engine.now)
            self._tell(player, "coming")
            self._ask(player, came_s)
        self._look()
        if engine.busy and self._step():
            return True
        coming = [self._returns[0][0]] if self._returns else []
        if starts_s and self._to_come:
            coming.append(starts_s[self._to_come[0].number])
        if (until := self._door.next_s(engine.now)) is not None:
            coming.append(until)
        if coming:
            engine.now = max(engine.now, min(coming))
        return bool(coming)

    def _step(self) -> bool:
        step = self._engine.step()
        for run in step.ended:
            self._ended(run)
        return step.took_s > 0

    def _arrive(self) -> None:
        """The next session wants to start."""
        if not self._to_come:
            return
        player = self._to_come.popleft()
        starts_s = self._scene.starts_s
        player.record.arrived_s = starts_s[player.number] if starts_s else self._engine.now
        self._full_s = self._engine.now
        self._held.append(player)
        self._begin()

    def _begin(self) -> None:
        cap = self._scene.cap
        while self._held and (cap is None or self._begun < cap):
            player = self._held.popleft()
            self._begun += 1
            self._ask(player, player.record.arrived_s)

    def _ask(self, player: _Player, came_s: float) -> None:
        """A turn has come, perhaps while the engine was in a step."""
        player.came_s = came_s
        self._door.ask(player.number, player.now.prompt, self._engine.now)
        self._look()

    def _look(self) -> None:
        """Let into the engine who may go, and tell it who was set aside for them."""
        for number in self._door.look(self._engine.now):
            self._enter(self._players[number])
        for number in self._door.aside():
            self._tell(self._players[number], "aside")

    def _tell(self, player: _Player, stand: Stand) -> None:
        scheduler = self._engine.scheduler
        if isinstance(scheduler, AgentScheduler):
            gone_s = self._engine.now - player.idle_s
            scheduler.expect([Outlook(str(player.number), stand, gone_s, player.away_s)])

    def _enter(self, player: _Player) -> None:
        turn, scale, engine = player.now, self._scene.scale, self._engine
        prompt = max(turn.prompt // scale, 1)
        # Everything after the first token is told by steps that stand for `scale` tokens each.
        answer = 1 + max(turn.answer - 1, 0) // scale
        kept = min(self._kept(player), len(player.context.tokens), prompt - 1)
        player.entered_s = engine.now
        tokens, player.kept = player.context.ask(prompt, kept)
        engine.add(player.number, player.turn, player.context, tokens, answer, self._rank(player))

    def _kept(self, player: _Player) -> int:
        """Simulated tokens of what was said before that the turn begins with."""
        turn = player.now
        if player.turn and turn.kept == player.script[player.turn - 1].context:
            return len(player.context.tokens)  # rounding must not cut what is kept whole
        return turn.kept // self._scene.scale

    def _rank(self, player: _Player) -> int:
        match self._policy.order:
            case "fcfs":
                return 0
            case "least-served":
                return player.served
            case "program":
                rank = int(player.record.arrived_s * 1000)
                scheduler = self._engine.scheduler
                pins = isinstance(scheduler, PinningScheduler)
                return rank - _PINNED_FIRST * (pins and scheduler.pinned(str(player.number)))

    def _ended(self, run: Run) -> None:
        player, now, scale = self._players[run.session], self._engine.now, self._scene.scale
        prompt, answer = run.request.num_prompt_tokens, run.request.num_output_tokens
        player.record.turns.append(_record(player, run, scale))
        player.served += prompt + 2 * answer
        player.turn += 1
        player.idle_s, player.away_s = now, None
        assert run.first_s is not None
        took_s = run.first_s - player.entered_s
        self._door.measure((prompt - run.cached) * scale, took_s)
        used = Used(prompt * scale, answer * scale, run.cached * scale)
        if player.turn < len(player.script):
            player.away_s = self._knowledge.expect(player.number, player.turn, player.now)
            self._door.end(player.number, used, player.away_s, now)
            self._tell(player, "away")
            heapq.heappush(self._returns, (now + player.now.gap_s, player.number, player))
            self._look()
            return
        self._door.end(player.number, used, None, now)
        self._door.leave(player.number, now)
        self._tell(player, "done")
        player.record.ended_s = now
        self._look()
        self._begun -= 1
        if self._scene.starts_s is None:
            self._arrive()
        self._begin()


def _scheduler(policy: Policy) -> type[Scheduler]:
    if policy.retention:
        return AgentScheduler
    return Scheduler if policy.pin_s is None else PinningScheduler


def _door(policy: Policy, pool: int) -> Door:
    match policy.gate:
        case "none":
            return Open()
        case "thunder":
            return Thunder(pool, policy.half_life_s)
        case "programs":
            return Programs(policy.rule, pool)


def _record(player: _Player, run: Run, scale: int) -> TurnRecord:
    assert run.began_s is not None
    assert run.first_s is not None
    assert run.ended_s is not None
    request = run.request
    return TurnRecord(
        number=player.turn,
        came_s=player.came_s,
        entered_s=player.entered_s,
        began_s=run.began_s,
        first_s=run.first_s,
        ended_s=run.ended_s,
        prompt=request.num_prompt_tokens * scale,
        answer=request.num_output_tokens * scale,
        cached=run.cached * scale,
        kept=player.kept * scale,
        computed=run.computed * scale,
    )
