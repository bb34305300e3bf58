"""The desk: opens the session, waits for a place, picks the engine, and hands over the events."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager

import msgspec

from engine.protocol import Engine
from gateway.admission import Queue
from gateway.dispatch import Dispatch, Way
from gateway.events import TurnEvent
from gateway.fleet import Member
from gateway.gate import Wants
from gateway.identity import Identity
from gateway.keys import Terms
from gateway.metrics import Metrics
from gateway.router import Standing
from gateway.routes import Routes, Target
from gateway.sessions import Session, Sessions
from gateway.shared import SharedSessions
from gateway.timeline import Entry
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
        self.sessions = sessions
        self._way = way
        self.queue = queue
        self._routes = routes
        self._turns = turns
        self._metrics = metrics
        self._shared = shared

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

    @asynccontextmanager
    async def serve(self, asked: Asked) -> AsyncGenerator[Served]:
        """Hold a place on an engine while the events are taken. Raises GatewayError."""
        session = self.sessions.open(asked.identity)
        self._way.retention.coming(session)
        because = f"{self.queue.running} requests ran, {self.queue.depth} waited before it"
        try:
            async with self.queue.place(asked.deadline_s) as waited_s:
                self._metrics.queue_wait.observe(waited_s)
                current().admitted(waited_s)
                asked.entry.hold("queue", waited_s, because)
                if self._shared is not None:
                    await self._shared.find_home(session)
                before = session.home
                wants = _wants(asked, session, waited_s)
                dispatch = Dispatch(self._way, session, asked.target, wants, asked.entry)
                events = await self._turns.begin(dispatch, asked.request, session, asked.answer_id)
                async with aclosing(events):
                    # Awaited here: until it comes the engine may still be another one.
                    first = await anext(events)
                    if self._shared is not None and session.home != before:
                        await self._shared.keep_home(session)  # before the client can return
                    yield Served(session.id, dispatch.name, first, events)
        finally:
            self._way.retention.left(session)
            self.sessions.leave(session)

    async def check(self, timeout_s: float) -> dict[str, str]:
        """Ask every engine for a sign of life: its name and "ok", or what is wrong."""
        members = self.fleet.members
        states = await asyncio.gather(*(_state(m, timeout_s) for m in members.values()))
        return dict(zip(members, states, strict=True))


def _wants(asked: Asked, session: Session, waited_s: float) -> Wants:
    request, terms = asked.request, asked.terms
    left_s = None if asked.deadline_s is None else max(asked.deadline_s - waited_s, 0.0)
    priority = request.body.get("priority")
    return Wants(
        key=(session.tenant, session.id),
        tenant=session.tenant,
        started_s=session.started_s,
        size=request.size,
        rank=(TIERS.index(terms.tier(request.tier)), priority if isinstance(priority, int) else 0),
        weight=terms.weight,
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
