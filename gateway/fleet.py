"""The engines as one fleet: which of them serves a request, and what its end says of it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from engine.errors import (
    BadCall,
    EngineBusy,
    EngineDead,
    EngineError,
)
from engine.probe import answer_token
from engine.protocol import Engine
from gateway.config import FailuresConfig, RoutingConfig
from gateway.errors import EngineGone
from gateway.health import Health
from gateway.homes import Homes, Prefixes, prefix_of
from gateway.member import Member
from gateway.metrics import FleetMetrics
from gateway.retries import Retries
from gateway.router import MOVED, Candidate, Spill, Standing, explain, pick
from gateway.routes import Target
from gateway.sessions import Session
from gateway.store import Store

logger = logging.getLogger(__name__)

WAKE_S = 5


class Fleet:
    """All engines."""

    def __init__(
        self,
        engines: Sequence[Engine],
        routing: RoutingConfig,
        failures: FailuresConfig,
        metrics: FleetMetrics,
        clock: Callable[[], float],
        *,
        store: Store,
    ) -> None:
        """`store` holds the budget for retries."""
        self._members = {engine.name: Member(engine, Health(failures)) for engine in engines}
        for name in self._members:
            metrics.know(name)
        served = Counter(engine.model for engine in engines)
        self._alone = {
            member.engine.model: member
            for member in self._members.values()
            if served[member.engine.model] == 1
        }
        self._failures = failures
        self.probe_timeout_s = failures.probe_timeout_s
        self._metrics = metrics
        self._clock = clock
        self._spill = Spill(routing.spill_requests, routing.spill_ratio)
        self._homes = Homes(routing.active_s)
        self._prefixes = Prefixes(routing.prefix_s)
        self.retries = Retries(failures, store)

    @property
    def members(self) -> Mapping[str, Member]:
        """Every engine by its name."""
        return self._members

    @property
    def programs(self) -> dict[str, float]:
        """Active programs at home on each engine."""
        return {name: float(self._homes.programs[name]) for name in self._members}

    def place(
        self,
        session: Session,
        target: Target,
        body: Mapping[str, object],
        tried: Collection[str] = (),
    ) -> Member:
        """The engine for a session's next turn, which is its home from now on.

        `tried` have failed for this very request. Raises EngineGone.
        """
        alone = self._alone.get(target.model)
        if (
            alone is not None
            and session.home in (None, alone.engine.name)
            and not tried
            and _serves(alone, target)
            and alone.standing.serves
        ):  # there is nothing to choose
            session.why = explain(session.home, alone.engine.name, (), tried)
            session.home = alone.engine.name
            self._homes.settle(session.key, session.home, self._clock())
            return alone
        return self._choose(session, target, body, tried)

    def _choose(
        self,
        session: Session,
        target: Target,
        body: Mapping[str, object],
        tried: Collection[str],
    ) -> Member:
        now_s = self._clock()
        prefix, holders = None, frozenset[str]()
        if session.home is None or tried:
            prefix = prefix_of(body)
            holders = self._prefixes.engines(prefix, now_s)
        candidates = [
            self._candidate(member, now_s, holders)
            for member in self._members.values()
            if _serves(member, target) and member.engine.name not in tried
        ]
        picked = pick(session.home, candidates, self._spill)
        if picked is None:
            raise _gone(target, candidates)
        session.why = explain(session.home, picked.name, candidates, tried)
        if session.why.startswith(MOVED):
            self._metrics.moves.labels(session.why.removeprefix(MOVED)).inc()
        session.home = picked.name
        self._homes.settle(session.key, picked.name, now_s)
        if prefix is not None:
            self._prefixes.note(prefix, picked.name, now_s)
        return self._members[picked.name]

    def _candidate(self, member: Member, now_s: float, holders: Collection[str]) -> Candidate:
        engine, load = member.engine, member.engine.load()
        return Candidate(
            engine.name,
            member.standing,
            member.in_flight,
            self._homes.programs[engine.name],
            load.kv_used_ratio,
            member.health.is_pressed(now_s),
            engine.name in holders,
            engine.weight,
            load.running + load.waiting,
        )

    def leave(self, key: tuple[str, str]) -> None:
        """The session, by tenant and id, has ended, or nobody will come back to it."""
        self._homes.leave(key)

    def give_up(self, engine: str) -> None:
        """The engine's KV cache is gone: nobody is at home there, and no prompt is known."""
        self._homes.give_up(engine)
        self._prefixes.give_up(engine)

    def arrive(self) -> None:
        """Count a turn, which earns its part of a retry."""
        self.retries.earn()

    async def may_retry(self, error: EngineError, target: Target, tried: Collection[str]) -> bool:
        """Whether a request that failed before its first byte may go to another engine now."""
        if isinstance(error, BadCall) or len(tried) >= self._failures.attempts:
            return False
        now_s = self._clock()
        others = [
            member
            for member in self._members.values()
            if _serves(member, target)
            and member.engine.name not in tried
            and member.standing is Standing.WELL
            and not (isinstance(error, EngineBusy) and member.health.is_pressed(now_s))
        ]
        if not others:
            return False
        granted = await self.retries.spend()
        self._metrics.retries.labels("sent" if granted else "no_budget").inc()
        return granted

    def judge(self, member: Member, error: EngineError | None) -> None:
        """Note how a request has ended at an engine."""
        health, name = member.health, member.engine.name
        if error is None or isinstance(error, BadCall):
            self.readmit(member)
        elif isinstance(error, EngineBusy):
            self._metrics.refusals.labels(name).inc()
            health.press(self._clock(), error.retry_after_s)
        elif not isinstance(error, EngineDead):
            self._metrics.failures.labels(name).inc()
            if health.fail():
                self._eject(member, str(error))

    def eject(self, engine: Engine, why: str) -> None:
        """Out of the routing until the engine has answered a token."""
        member = self._members[engine.name]
        member.health.eject()
        self._eject(member, why)

    def _eject(self, member: Member, why: str) -> None:
        logger.warning("engine '%s' is out of the routing: %s", member.engine.name, why)
        self._metrics.ejections.labels(member.engine.name).inc()
        member.ejected.set()

    def readmit(self, member: Member) -> None:
        if member.health.is_ejected:
            logger.info("engine '%s' is back in the routing", member.engine.name)
        member.health.succeed()
        member.ejected.clear()

    async def watch(self, member: Member) -> None:
        """Eject an engine that hangs with requests in it; ends never.

        They go on when it does; an engine that hangs for too long ends them itself.
        """
        timeout_s = self._failures.probe_timeout_s
        while True:
            await asyncio.sleep(self._failures.probe_max_s)
            if not member.in_flight or member.standing is not Standing.WELL:
                continue
            try:
                await member.engine.check_health(timeout_s)
            except TimeoutError:
                self.eject(member.engine, f"no answer within {timeout_s:g} s")
            except EngineError:
                continue  # whatever it is, its requests meet it

    async def recover(self, member: Member) -> None:
        """Ask an ejected engine for a token until it answers, again and again; ends never."""
        engine, health = member.engine, member.health
        while True:
            await member.ejected.wait()
            await asyncio.sleep(health.probe_after_s)
            if not health.is_ejected or engine.died.is_set():
                member.ejected.clear()
                continue
            if engine.load().is_asleep:
                continue  # it is asked for its token when it is woken
            try:
                await answer_token(engine, self._failures.probe_timeout_s)
            except (EngineError, TimeoutError):
                self._metrics.failures.labels(engine.name).inc()
                health.fail_probe()
            else:
                self.readmit(member)


def _gone(target: Target, candidates: Sequence[Candidate]) -> EngineGone:
    if any(candidate.standing is Standing.ASLEEP for candidate in candidates):
        said = f"every engine that serves '{target.model}' sleeps or is away; try again soon"
        return EngineGone(said, headers={"retry-after": str(WAKE_S)})
    return EngineGone(
        f"no engine that serves '{target.model}' is left; the operator must see to it"
    )


def _serves(member: Member, target: Target) -> bool:
    engine = member.engine
    return engine.model == target.model and target.pool in (None, engine.pool)
