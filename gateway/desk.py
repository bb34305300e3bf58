"""The desk: opens the session, waits for a place, picks the engine, and hands over the events."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType

import msgspec

from engine.protocol import Engine
from gateway.admission import Queue, Rank
from gateway.dispatch import Dispatch, Way
from gateway.events import TurnEvent
from gateway.gate import Wants
from gateway.identity import Identity
from gateway.keys import Terms
from gateway.member import Member
from gateway.metrics import Metrics
from gateway.router import Standing
from gateway.routes import Routes, Target
from gateway.sessions import Session, Sessions
from gateway.shared import SharedSessions
from gateway.timeline import NOTICED_S, Entry
from gateway.trail import current
from gateway.turns import Turns
from gateway.wire import TIERS, ApiRequest


class Asked(msgspec.Struct, frozen=True):
    """A request with all that is known of it before it is served."""

    request: ApiRequest
    target: Target
    identity: Identity
    terms: Terms
    entry: Entry
    """Where it is written down."""
    deadline_s: float | None = None
    """How long its client waits, from now on."""

    @property
    def rank(self) -> Rank:
        """Its tier, then its own priority: lower goes first."""
        priority = self.request.body.get("priority")
        tier = TIERS.index(self.terms.tier(self.request.tier))
        return tier, priority if isinstance(priority, int) else 0

    @property
    def answer_id(self) -> str:
        """The id the client is told."""
        return self.entry.id


class Served(msgspec.Struct, frozen=True):
    """An admitted request: whose it is, where it runs, and what comes of it.

    `events` come after `first`, end with `Finished` and raise GatewayError and EngineError.
    """

    session: str
    engine: str
    first: TurnEvent
    events: AsyncGenerator[TurnEvent, None]


class Service:
    """One request's session, place and events. Every request has one: a generator costs more."""

    __slots__ = ("_asked", "_desk", "_events", "_is_placed", "_is_served", "_session")

    def __init__(self, desk: "Desk", asked: Asked) -> None:
        self._desk = desk
        self._asked = asked
        self._is_placed = self._is_served = False
        self._events: AsyncGenerator[TurnEvent, None] | None = None

    async def __aenter__(self) -> Served:
        desk, asked = self._desk, self._asked
        session = self._session = desk.sessions.open(asked.identity)
        try:
            desk.retention.coming(session)
            waited_s = await desk.admit(asked)
            self._is_placed = True
            if desk.shared is not None:
                await desk.shared.find_home(session)
                await desk.shared.catch_up(session)
            before = session.home
            dispatch, self._events = await desk.begin(asked, session, waited_s)
            # Awaited here: until it comes the engine may still be another one.
            first = await anext(self._events)
            self._is_served = True
            if desk.shared is not None and session.home != before:
                await desk.shared.keep_home(session)  # before the client can return
        except BaseException:
            await self._leave()
            raise
        return Served(session.id, dispatch.name, first, self._events)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        desk, session = self._desk, self._session
        try:
            if self._events is not None:
                await self._events.aclose()
        finally:
            if self._is_placed:
                desk.queue.leave(is_served=self._is_served)
            desk.retention.left(session)
            desk.sessions.leave(session)


class Desk:
    """Serves admitted requests on the engines."""

    def __init__(
        self,
        way: Way,
        routes: Routes,
        sessions: Sessions,
        queue: Queue,
        turns: Turns,
        metrics: Metrics,
        *,
        shared: SharedSessions | None = None,
    ) -> None:
        """`shared` is what other gateways know of sessions."""
        self.fleet = way.fleet
        self.retention = way.retention
        self.sessions = sessions
        self._way = way
        self.queue = queue
        self._routes = routes
        self._turns = turns
        self._metrics = metrics
        self.shared = shared

    @property
    def models(self) -> Mapping[str, int]:
        """Every name clients may use, and the context all it may mean have; 0 if not known."""
        lengths: dict[str, list[int]] = {}
        for member in self.fleet.members.values():
            lengths.setdefault(member.engine.model, []).append(member.engine.max_model_len)
        return {
            name: min(min(lengths[model]) for model in models)
            for name, models in self._routes.names.items()
        }

    def resolve(self, request: ApiRequest, pool: str | None = None) -> Target:
        """What a request means; `pool` is what its header says. Raises NotFound, BadRequest."""
        return self._routes.resolve(request, pool)

    def serve(self, asked: Asked) -> "Service":
        """Hold a place on an engine while the events are taken. Raises GatewayError."""
        return Service(self, asked)

    async def admit(self, asked: Asked) -> float:
        """Wait for a place; gives the seconds waited. Whoever has it must leave the queue."""
        running, depth = self.queue.running, self.queue.depth
        waited_s = await self.queue.enter(asked.deadline_s, asked.rank)
        self._metrics.queue_wait.observe(waited_s)
        current().admitted(waited_s)
        if waited_s >= NOTICED_S:
            said = f"{running} requests ran, {depth} waited before it"
            asked.entry.hold("queue", waited_s, said)
        return waited_s

    async def begin(
        self, asked: Asked, session: Session, waited_s: float
    ) -> tuple[Dispatch, AsyncGenerator[TurnEvent, None]]:
        """The events of an admitted request, and the way they come."""
        wants = _wants(asked, session, waited_s)
        dispatch = Dispatch(self._way, session, asked.target, wants, asked.entry)
        events = await self._turns.begin(dispatch, asked.request, session, asked.answer_id)
        return dispatch, events

    async def check(self, timeout_s: float) -> dict[str, str]:
        """Ask every engine for a sign of life: its name and "ok", or what is wrong."""
        members = self.fleet.members
        states = await asyncio.gather(*(_state(m, timeout_s) for m in members.values()))
        return dict(zip(members, states, strict=True))


def _wants(asked: Asked, session: Session, waited_s: float) -> Wants:
    left_s = None if asked.deadline_s is None else max(asked.deadline_s - waited_s, 0.0)
    return Wants(
        key=session.key,
        tenant=session.tenant,
        started_s=session.started_s,
        size=asked.request.size,
        rank=asked.rank,
        weight=asked.terms.weight,
        deadline_s=left_s,
    )


async def _state(member: Member, timeout_s: float) -> str:
    engine: Engine = member.engine
    if engine.died.is_set():
        return "dead"
    if member.standing is Standing.ASLEEP:
        return "asleep"
    if member.is_draining:
        return "draining"
    try:
        await engine.check_health(timeout_s)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:  # a probe reports whatever is wrong
        return str(error)
    return "ejected" if member.health.is_ejected else "ok"
