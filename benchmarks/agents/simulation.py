"""Sessions, a gate and an engine under one virtual clock."""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.agents.context import Context
from benchmarks.agents.costs import Costs
from benchmarks.agents.doors import Door, Open, Programs
from benchmarks.agents.engine import Engine, Run, Shape
from benchmarks.agents.knowledge import Knowledge, make
from benchmarks.agents.policies import Policy
from benchmarks.agents.records import Play, SessionRecord, TurnRecord
from benchmarks.agents.sessions import PREFIX, Script, Turn
from gateway.program import Used


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played: the same for every policy."""

    costs: Costs
    scripts: Sequence[Script]
    live: int
    """Sessions at once; one that ends is replaced."""
    seed: int
    scale: int = 16


@dataclass(slots=True, eq=False)
class _Player:
    """One session as it goes."""

    script: Script
    context: Context
    record: SessionRecord
    number: int
    turn: int = 0
    came_s: float = 0.0
    entered_s: float = 0.0
    kept: int = 0
    served: int = 0
    """Tokens of prompts and twice those of answers so far."""

    @property
    def now(self) -> Turn:
        return self.script[self.turn]


class Simulation:
    """One run of one policy."""

    def __init__(self, scene: Scene, policy: Policy) -> None:
        pool = scene.costs.pool
        if policy.unbounded:
            pool = sum(max(turn.context for turn in s) + 4096 for s in scene.scripts)
        self._scene, self._policy = scene, policy
        shape = Shape(pool, scene.scale, by_priority=policy.order != "fcfs")
        self._engine = Engine(shape, scene.costs.clock())
        self._door: Door = Open() if policy.gate == "none" else Programs(policy.rule, pool)
        self._knowledge: Knowledge = make(policy.knows, scene.seed)
        self._players = [self._player(n, script) for n, script in enumerate(scene.scripts)]
        self._to_come = deque(self._players)
        self._returns: list[tuple[float, int, _Player]] = []
        self._full_s = 0.0

    def run(self) -> Play:
        """Play all sessions to their end."""
        for _ in range(self._scene.live):
            self._arrive()
        while self._advance():
            pass
        left = [p.number for p in self._players if not p.record.ended_s]
        assert not left, f"sessions {left} never ended"
        engine = self._engine
        door = self._door
        aside = door.set.set_aside if isinstance(door, Programs) else 0
        records = [player.record for player in self._players]
        return Play(records, engine.now, self._full_s, engine.steps, engine.preemptions, aside)

    def _advance(self) -> bool:
        """One step of the engine, or a leap to what comes next; False when nothing comes."""
        engine = self._engine
        while self._returns and self._returns[0][0] <= engine.now:
            self._ask(heapq.heappop(self._returns)[2])
        self._look()
        if engine.busy:
            step = engine.step()
            if step.took_s:
                for run in step.first:
                    self._started(run)
                for run in step.ended:
                    self._ended(run)
                return True
        coming = [self._returns[0][0]] if self._returns else []
        if (until := self._door.next_s(engine.now)) is not None:
            coming.append(until)
        if not coming:
            return False
        engine.now = max(engine.now, min(coming))
        return True

    def _player(self, number: int, script: Script) -> _Player:
        context = Context(number, PREFIX // self._scene.scale)
        return _Player(script, context, SessionRecord(number), number)

    def _arrive(self) -> None:
        """The next session wants to start."""
        if not self._to_come:
            return
        player = self._to_come.popleft()
        player.record.arrived_s = self._full_s = self._engine.now
        self._ask(player)

    def _ask(self, player: _Player) -> None:
        """A turn has come."""
        now = self._engine.now
        if player.turn:
            self._knowledge.learn(player.now, now)
        player.came_s = now if player.turn else player.record.arrived_s
        self._door.ask(player.number, player.now.prompt, now)

    def _look(self) -> None:
        """Let into the engine who may go."""
        for number in self._door.look(self._engine.now):
            self._enter(self._players[number])

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
            case "program":
                return int(player.record.arrived_s * 1000)
            case "least-served":
                return player.served

    def _started(self, run: Run) -> None:
        player = self._players[run.session]
        computed = (run.request.num_prompt_tokens - run.cached) * self._scene.scale
        self._door.started(run.session, computed, self._engine.now - player.entered_s)

    def _ended(self, run: Run) -> None:
        player, now, scale = self._players[run.session], self._engine.now, self._scene.scale
        prompt, answer = run.request.num_prompt_tokens, run.request.num_output_tokens
        assert run.began_s is not None
        assert run.first_s is not None
        player.record.turns.append(
            TurnRecord(
                player.turn,
                player.came_s,
                player.entered_s,
                run.began_s,
                run.first_s,
                now,
                prompt * scale,
                answer * scale,
                run.cached * scale,
                player.kept * scale,
                run.computed * scale,
            )
        )
        player.served += prompt + 2 * answer
        player.turn += 1
        used = Used(prompt * scale, answer * scale, run.cached * scale)
        if player.turn == len(player.script):
            self._door.end(player.number, used, None, now)
            self._door.leave(player.number, now)
            player.record.ended_s = now
            self._arrive()
            return
        away_s = self._knowledge.expect(player.number, player.turn, player.now)
        self._door.end(player.number, used, away_s, now)
        heapq.heappush(self._returns, (now + player.now.gap_s, player.number, player))
