"""POST /v1/chat/completions and /v1/completions: the hot path."""

import logging
import secrets
import time
from collections.abc import Mapping
from typing import Protocol

import msgspec

from engine.errors import EngineError
from engine.types import Delta, Endpoint, Finished, Passed, ToolCall
from gateway.access import Grant
from gateway.api.door import Door, deadline_s, graded
from gateway.api.exchange import TRACE_HEADER, Disconnected, Exchange
from gateway.collecting import ChatBody, CompletionBody
from gateway.config import GatewayConfig
from gateway.conversation import is_opaque
from gateway.desk import Asked, Desk, Served
from gateway.errors import (
    BadRequest,
    EngineGone,
    GatewayError,
    GenerationFailed,
    Internal,
    Overloaded,
    Stopping,
    ToolsDown,
    from_engine,
)
from gateway.events import TurnEvent
from gateway.metrics import Metrics
from gateway.routes import POOL_HEADER
from gateway.shared import SharedSessions
from gateway.streaming import ChatChunks, CompletionChunks, error_chunk
from gateway.timeline import Entry
from gateway.trail import current
from gateway.visit import Visit
from gateway.wire import parse

logger = logging.getLogger(__name__)

SESSION_HEADER = "x-roundhouse-session"
ENGINE_HEADER = "x-roundhouse-engine"
WHY_HEADER = "x-roundhouse-why"
REQUEST_HEADER = "x-request-id"
ID_PREFIX = {"chat": "chatcmpl", "completion": "cmpl"}
CLIENT_ERRORS = 500


class Chunks(Protocol):
    """Events as bytes of a stream."""

    def chunk(self, event: TurnEvent) -> bytes:
        """The bytes of one event, empty where it has none."""


class Body(Protocol):
    """Events as one object."""

    def add(self, event: TurnEvent) -> None:
        """Take the next event."""

    def body(self) -> object:
        """The answer."""


class Visited(msgspec.Struct, frozen=True):
    """A request with its visitor, and when it came."""

    asked: Asked
    visit: Visit
    grant: Grant
    arrived_s: float


class Generation:
    """An endpoint that generates."""

    def __init__(
        self,
        endpoint: Endpoint,
        config: GatewayConfig,
        door: Door,
        desk: Desk,
        metrics: Metrics,
    ) -> None:
        self._endpoint: Endpoint = endpoint
        self._config = config
        self._door = door
        self._desk = desk
        self._metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        """Serve one request; it ends in exactly one outcome."""
        arrived_s = time.perf_counter()
        answer_id = f"{ID_PREFIX[self._endpoint]}-{secrets.token_hex(16)}"
        trail = self._door.trails.begin(self._endpoint, answer_id, exchange.headers)
        exchange.marks[TRACE_HEADER] = trail.span.trace_id
        outcome = "stopped"  # what the server cancels ends in none of the ways below
        entry = self._door.timeline.open(answer_id, self._endpoint)
        failure: GatewayError | None = None
        try:
            await self._serve(exchange, entry, arrived_s)
            outcome = "ok"
        except Disconnected:
            outcome = "disconnected"
        except GatewayError as error:
            outcome, failure = _outcome(error), error
            await _tell(exchange, error, answer_id)
        except Exception:  # whatever it is, this client gets an answer and the next one is served
            logger.exception("request %s failed", answer_id)
            outcome, failure = "internal_error", Internal("an internal error; the log has more")
            await _tell(exchange, failure, answer_id)
        finally:
            self._door.timeline.close(entry, outcome, failure)
            self._metrics.requests.labels(self._endpoint, outcome).inc()
            took_s = time.perf_counter() - arrived_s
            self._metrics.request_seconds.labels(self._endpoint).observe(took_s)
            trail.end(outcome, exchange.status)

    async def _serve(self, exchange: Exchange, entry: Entry, arrived_s: float) -> None:
        headers = exchange.headers
        grant = await self._door.grant(headers)
        trail = current()
        trail.facts["tenant"] = grant.tenant
        # Before it costs anything, and before its session pushes out one that is served.
        self._desk.queue.check()
        raw = await exchange.read(int(self._config.body_mib * 2**20))
        label = self._config.tools.server_label
        request = graded(parse(raw, self._endpoint, label, verbatim=True), grant)
        target = self._desk.resolve(request, headers.get(POOL_HEADER))
        wait_s = deadline_s(headers)
        visit = await self._door.visit(grant.tenant, headers, request, entry.id)
        self._door.timeline.attach(entry, visit.identity)
        trail.asked(request.model, target.model, visit.identity)
        trail.body("body", raw)
        asked = Asked(request, target, visit.identity, grant.terms, entry, wait_s)
        async with self._door.limits.request(grant, visit.identity.session):
            visited = Visited(asked, visit, grant, arrived_s)
            await exchange.while_connected(self._answer(exchange, visited))
        if trail.keeps_bodies:
            trail.body("answer", visit.said)

    async def _answer(self, exchange: Exchange, visited: Visited) -> None:
        asked = visited.asked
        try:
            async with self._desk.serve(asked) as served:
                if visited.visit.is_last:
                    self._desk.sessions.end(asked.identity.tenant, asked.identity.session)
                headers = {
                    REQUEST_HEADER: asked.answer_id,
                    SESSION_HEADER: served.session,
                    ENGINE_HEADER: served.engine,
                }
                answer = self._stream if asked.request.stream else self._whole
                await answer(exchange, visited, served, headers)
        except EngineError as error:
            raise from_engine(error) from error

    async def _stream(
        self,
        exchange: Exchange,
        visited: Visited,
        served: Served,
        headers: Mapping[str, str],
    ) -> None:
        asked, visit = visited.asked, visited.visit
        made = ChatChunks if self._endpoint == "chat" else CompletionChunks
        chunks: Chunks = made(asked.request, asked.answer_id, asked.target.model, int(time.time()))
        engine, entry = served.engine, asked.entry
        hear_text = visit.hear_text
        # Only now: an error before the first event has a status.
        await exchange.stream({**headers, WHY_HEADER: entry.short()})
        await self._hear(visited, served.first)
        await _write(exchange, chunks.chunk(served.first))
        between = self._metrics.inter_token.labels(engine)
        last_s = 0.0
        if type(served.first) is Passed:
            last_s = time.perf_counter()
            self._metrics.first_token.labels(engine).observe(last_s - visited.arrived_s)
            entry.answer()
        async for event in served.events:
            if type(event) is Delta:
                hear_text(event.text)
            elif type(event) is Passed:
                visit.hear(event)
            else:
                await self._hear(visited, event)
            if data := chunks.chunk(event):
                await exchange.write(data)
            if type(event) is Delta or type(event) is Passed:
                now_s = time.perf_counter()
                if last_s:
                    between.observe(now_s - last_s)
                else:
                    self._metrics.first_token.labels(engine).observe(now_s - visited.arrived_s)
                    entry.answer()
                last_s = now_s
            elif type(event) is Finished:
                await self._count(visited, engine, event)
        await exchange.end()

    async def _whole(
        self,
        exchange: Exchange,
        visited: Visited,
        served: Served,
        headers: Mapping[str, str],
    ) -> None:
        asked = visited.asked
        kind = ChatBody if self._endpoint == "chat" else CompletionBody
        body: Body = kind(asked.request, asked.answer_id, asked.target.model, int(time.time()))
        engine, entry = served.engine, asked.entry
        took_s = time.perf_counter() - visited.arrived_s
        self._metrics.first_token.labels(engine).observe(took_s)
        entry.answer()
        body.add(served.first)
        await self._hear(visited, served.first)
        async for event in served.events:
            body.add(event)
            await self._hear(visited, event)
            if type(event) is Finished:
                await self._count(visited, engine, event)
        await exchange.json(200, body.body(), {**headers, WHY_HEADER: entry.short()})

    async def _hear(self, visited: Visited, event: TurnEvent) -> None:
        visited.visit.hear(event)
        visited.asked.entry.hear(event)
        if self._door.shared is not None:
            await self._share(self._door.shared, visited, event)

    async def _share(self, shared: SharedSessions, visited: Visited, event: TurnEvent) -> None:
        """Before the client can return, at whichever gateway."""
        identity, answer_id = visited.asked.identity, visited.asked.answer_id
        if type(event) is ToolCall and is_opaque(event.id, event.name):
            await shared.minted(identity, event.id)
        if type(event) is not Finished:
            return
        session = self._desk.sessions.find(identity.tenant, identity.session)
        if visited.visit.is_last or session is None:
            await shared.ended(identity.tenant, identity.session)
        else:
            await shared.keep_spent(session)
        if not identity.named:
            await shared.minted(identity, answer_id)
        if not identity.named and (end := visited.visit.end) is not None:
            await shared.stands(identity, end, is_pending=visited.visit.is_pending)

    async def _count(self, visited: Visited, engine: str, event: Finished) -> None:
        usage = event.usage
        tokens = self._metrics.tokens
        tokens.labels(engine, "prompt").inc(usage.prompt_tokens)
        tokens.labels(engine, "cached").inc(usage.cached_tokens)
        tokens.labels(engine, "completion").inc(usage.completion_tokens)
        spent = usage.prompt_tokens + usage.completion_tokens
        await self._door.limits.charge(visited.grant, spent)


async def _write(exchange: Exchange, data: bytes) -> None:
    if data:
        await exchange.write(data)


async def _tell(exchange: Exchange, error: GatewayError, answer_id: str) -> None:
    """The one last thing the client hears: a status, or the last event of a stream."""
    if exchange.begun:
        await exchange.write(error_chunk(error))
        await exchange.end()
    else:
        await exchange.error(error, {REQUEST_HEADER: answer_id})


def _outcome(error: GatewayError) -> str:
    kinds: tuple[tuple[type[GatewayError], str], ...] = (
        (Overloaded, "refused"),
        (Stopping, "stopped"),
        (ToolsDown, "tools_error"),
        (EngineGone, "engine_error"),
        (GenerationFailed, "engine_error"),
        (BadRequest, "client_error"),
    )
    for kind, outcome in kinds:
        if isinstance(error, kind):
            return outcome
    return "client_error" if error.status < CLIENT_ERRORS else "internal_error"
