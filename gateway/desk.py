"""The desk: opens the session, waits for a place, picks the engine, and hands over the events."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from engine.protocol import Engine
from gateway.admission import Queue
from gateway.errors import EngineGone, NotFound
from gateway.events import TurnEvent
from gateway.identity import Identity
from gateway.metrics import Metrics
from gateway.router import Candidate, pick
from gateway.sessions import Session, Sessions
from gateway.turns import Turns
from gateway.wire import ApiRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """An admitted request: whose it is, where it runs, and what comes of it.

    `events` ends with `Finished` and raises GatewayError and EngineError.
    """

    session: str
    engine: str
    events: AsyncGenerator[TurnEvent, None]


class Desk:
    """Serves admitted requests on the engines."""

    def __init__(
        self,
        engines: Sequence[Engine],
        sessions: Sessions,
        queue: Queue,
        turns: Turns,
        metrics: Metrics,
    ) -> None:
        self.engines = tuple(engines)
        self._by_name = {engine.name: engine for engine in engines}
        self._by_model: dict[str, list[Engine]] = {}
        for engine in engines:
            self._by_model.setdefault(engine.model, []).append(engine)
        self.sessions = sessions
        self.queue = queue
        self._turns = turns
        self._metrics = metrics
        self._in_flight: Counter[str] = Counter()

    @property
    def models(self) -> Mapping[str, Engine]:
        """Each model's name and one engine that serves it."""
        return {name: engines[0] for name, engines in self._by_model.items()}

    def resolve(self, model: str | None) -> str:
        """The model a request means; without a name the only one. Raises NotFound."""
        if model is None and len(self._by_model) == 1:
            return next(iter(self._by_model))
        if model is None or model not in self._by_model:
            names = ", ".join(sorted(self._by_model))
            said = "name a model" if model is None else f"the model '{model}' does not exist"
            raise NotFound(f"{said}; there is: {names}", param="model", code="model_not_found")
        return model

    @asynccontextmanager
    async def serve(
        self, request: ApiRequest, model: str, identity: Identity, answer_id: str
    ) -> AsyncGenerator[Served]:
        """Hold a place on an engine while the events are taken. Raises GatewayError."""
        session = self.sessions.open(identity)
        try:
            async with self.queue.place() as waited_s:
                self._metrics.queue_wait.observe(waited_s)
                engine = self._place(session, model)
                self._in_flight[engine.name] += 1
                try:
                    events = await self._turns.begin(engine, request, session, answer_id)
                    async with aclosing(events):
                        yield Served(session.id, engine.name, events)
                finally:
                    self._in_flight[engine.name] -= 1
        finally:
            self.sessions.leave(session)

    def _place(self, session: Session, model: str) -> Engine:
        name = pick(session.home, [self._candidate(engine) for engine in self._by_model[model]])
        if name is None:
            raise EngineGone(
                f"no engine that serves '{model}' is left; the operator must restart it"
            )
        session.home = name
        return self._by_name[name]

    def _candidate(self, engine: Engine) -> Candidate:
        return Candidate(
            engine.name,
            not engine.died.is_set(),
            self._in_flight[engine.name],
            engine.load().kv_used_ratio,
        )

    async def check(self, timeout_s: float) -> dict[str, str]:
        """Ask every engine for a sign of life: its name and "ok", or what is wrong."""
        states = await asyncio.gather(*(_state(engine, timeout_s) for engine in self.engines))
        return {engine.name: state for engine, state in zip(self.engines, states, strict=True)}


async def _state(engine: Engine, timeout_s: float) -> str:
    if engine.died.is_set():
        return "dead"
    try:
        await engine.check_health(timeout_s)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:  # a probe reports whatever is wrong
        return str(error)
    return "ok"
