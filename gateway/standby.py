"""Puts engines to sleep and wakes them, as the spares' rule or the operator says."""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.errors import CannotSleep, EngineError
from engine.probe import answer_token
from gateway.errors import Conflict
from gateway.fleet import Fleet
from gateway.gate import Gate
from gateway.member import Member
from gateway.metrics import StandbyMetrics
from gateway.router import Standing
from gateway.schedule import wanted
from gateway.sessions import Sessions
from gateway.spares import Order, Reading, Spares
from gateway.spares_config import SparesConfig

logger = logging.getLogger(__name__)

SWITCH_S = 300.0  # the largest models' weights come back from the host's memory within it
RETRY_S = 30.0


class Standby:
    """Who sleeps, who is woken."""

    def __init__(
        self,
        fleet: Fleet,
        gate: Gate | None,
        sessions: Sessions,
        config: SparesConfig,
        metrics: StandbyMetrics,
        *,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        self._fleet = fleet
        self._gate = gate
        self._sessions = sessions
        self._config = config
        self._zone = ZoneInfo(config.timezone)
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._switching: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._awake_since_s = dict.fromkeys(fleet.members, clock())
        self._not_before_s: dict[str, float] = {}
        for name in fleet.members:
            metrics.know(name)

    async def run(self) -> None:
        """Look after every model that has spares; ends never where there are any."""
        members = self._fleet.members.values()
        models = {m.engine.model for m in members if m.engine.spare}
        self._awake_since_s = dict.fromkeys(self._fleet.members, self._clock())
        async with asyncio.TaskGroup() as group:
            for model in models:
                group.create_task(self._look_after(model), name=f"spares of {model}")

    async def _look_after(self, model: str) -> None:
        spares = Spares(self._config)
        members = [m for m in self._fleet.members.values() if m.engine.model == model]
        while True:
            await asyncio.sleep(self._config.look_s)
            count = wanted(self._config.windows, self._zone, self._wall())
            readings = [self.read(member) for member in members]
            order = spares.decide(readings, count, self._clock())
            if order is not None:
                await self._obey(order)

    async def _obey(self, order: Order) -> None:
        member = self._fleet.members[order.engine]
        switch = self.wake if order.wakes else self.sleep
        try:
            await switch(member, order.reason)
        except (EngineError, Conflict, TimeoutError) as error:
            what = "woken" if order.wakes else "put to sleep"
            said = str(error) or f"no end within {SWITCH_S:g} s"
            logger.warning("engine '%s' could not be %s: %s", order.engine, what, said)
            self._not_before_s[order.engine] = self._clock() + RETRY_S

    def read(self, member: Member) -> Reading:
        """One engine as the rule sees it."""
        engine, load, now_s = member.engine, member.engine.load(), self._clock()
        held = self._gate.sets().get(engine.name) if self._gate is not None else None
        needed = held.needed_ratio(now_s) if held is not None else 0.0
        is_free = now_s >= self._not_before_s.get(engine.name, -math.inf)
        asleep = member.standing is Standing.ASLEEP and load.is_asleep and not member.is_draining
        return Reading(
            engine.name,
            is_spare=engine.spare and is_free,
            is_awake=member.standing is Standing.WELL,
            is_asleep=engine.spare and is_free and asleep,
            weight=engine.weight,
            used_ratio=max(load.kv_used_ratio, needed),
            waiting=load.waiting + (held.waiting if held is not None else 0),
            programs=int(self._fleet.programs[engine.name]),
            awake_s=now_s - self._awake_since_s[engine.name],
        )

    async def sleep(self, member: Member, reason: str) -> None:
        """Let its turns end, and put it to sleep. Raises Conflict, EngineError and TimeoutError."""
        name = member.engine.name
        async with self._switching[name]:
            if member.engine.load().is_asleep:
                return
            self._spare_the_last(member)
            member.is_leaving = True
            try:
                if not await member.drained(self._config.drain_s):
                    said = f"engine '{name}' still had {member.claims} turns after"
                    raise Conflict(f"{said} {self._config.drain_s:g} s and stays awake; try later")
                await self._send_to_sleep(member)
            finally:
                member.is_leaving = False
            self._fleet.give_up(name)
            if self._gate is not None:
                self._gate.give_up(name)
            self._metrics.sleeps.labels(name, reason).inc()
            logger.info("engine '%s' sleeps: %s", name, reason)

    async def _send_to_sleep(self, member: Member) -> None:
        try:
            async with asyncio.timeout(SWITCH_S):
                await member.engine.sleep()
        except CannotSleep:
            raise
        except (EngineError, TimeoutError) as error:  # half asleep: a token tells
            self._fleet.eject(member.engine, f"it could not sleep: {error}")
            raise

    def _spare_the_last(self, member: Member) -> None:
        others = self._fleet.members.values()
        model = member.engine.model
        if member.standing is Standing.WELL and not any(
            other.standing is Standing.WELL
            for other in others
            if other is not member and other.engine.model == model
        ):
            name = member.engine.name
            raise Conflict(f"engine '{name}' is the only one awake that serves '{model}'")

    async def wake(self, member: Member, reason: str) -> None:
        """Wake it; it is used when it has answered a token. Raises EngineError and TimeoutError."""
        engine = member.engine
        async with self._switching[engine.name]:
            if not engine.load().is_asleep:
                return
            began_s = self._clock()
            member.health.eject()
            try:
                async with asyncio.timeout(SWITCH_S):
                    await engine.wake()
                await answer_token(engine, self._fleet.probe_timeout_s)
            except (EngineError, TimeoutError) as error:
                self._fleet.eject(engine, f"it was woken and does not answer: {error}")
                raise
            self._sessions.give_up(engine.name)
            self._fleet.readmit(member)
            self._awake_since_s[engine.name] = self._clock()
            self._metrics.wakes.labels(engine.name, reason).inc()
            self._metrics.wake_seconds.labels(engine.name).observe(self._clock() - began_s)
            logger.info("engine '%s' is awake: %s", engine.name, reason)
