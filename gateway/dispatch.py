"""One request's way to the engines: every turn is placed anew, and tried again if that is safe."""

from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from engine.errors import EngineError
from engine.types import Call, Event, Finished, ToolCall
from gateway.fleet import Fleet
from gateway.gate import Gate, Pass, Wants
from gateway.member import Member
from gateway.program import Used
from gateway.retention import Retention
from gateway.router import Standing
from gateway.routes import Target
from gateway.sessions import Phase, Session
from gateway.timeline import Entry
from gateway.trail import current

_FULL = "the agents at work fill the engine's KV cache"


@dataclass(frozen=True, slots=True)
class Way:
    """What stands between requests and engines; `gate` is None where everybody is let in."""

    fleet: Fleet
    gate: Gate | None
    retention: Retention
    check: Callable[[Session], None]
    """Raises SessionSpent for a session that may have no more turns."""
    weigh_kv: bool = True
    """Whether tool calls weigh by the KV cache that waits for them."""


class _Held:
    """A place at an engine, once the session's program fits its cache."""

    __slots__ = ("_entry", "_member", "_retention", "_session", "turn")

    def __init__(
        self, way: Way, member: Member, wants: Wants, entry: Entry, session: Session
    ) -> None:
        self._retention = way.retention
        self._member = member
        self._entry = entry
        self._session = session
        capacity = member.engine.load().kv_tokens
        self.turn: Pass | None = None
        """Its place in the working set, where the engine has one."""
        if way.gate is not None and capacity:
            self.turn = way.gate.turn(member.engine.name, capacity, wants)

    async def __aenter__(self) -> Self:
        member, turn = self._member, self.turn
        member.claim()
        if turn is not None:
            try:
                await turn.__aenter__()
            except BaseException:
                member.release()
                raise
            self._entry.hold("admission", turn.waited_s, _FULL)
            current().let_in(turn.waited_s)
        self._retention.begins(self._session)
        member.in_flight += 1
        return self

    def begins(self) -> None:
        """The turn's first event has come."""
        if self.turn is not None:
            self.turn.begins()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._member.in_flight -= 1
        try:
            if self.turn is not None:
                await self.turn.__aexit__(kind, error, at)
        finally:
            self._member.release()


class Dispatch:
    """Generates as an engine does, on whichever engine is the session's home in that turn."""

    def __init__(
        self, way: Way, session: Session, target: Target, wants: Wants, entry: Entry
    ) -> None:
        self._way = way
        self._session = session
        self._target = target
        self._wants = wants
        self._entry = entry
        self.name = ""
        """The engine of the last turn."""
        self._offered: Collection[str] = ()
        self._called: list[str] = []

    def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Place the turn and generate.

        Raises EngineGone and SessionSpent at once; EngineError, Overloaded and Stopping while
        iterated.
        """
        self._way.check(self._session)
        self._way.fleet.arrive()
        return self._events(call, self._place(call, set()))

    def offer(self, tools: Collection[str]) -> None:
        """A turn that calls one of these goes on without its client."""
        self._offered = tools

    def away(self, expected_s: tuple[float, float]) -> None:
        """A tool has begun, and the session's next turn comes when it has ended."""
        whole = self._way.retention.in_tool(self._session, expected_s)
        if self._way.gate is not None:
            self._way.gate.expect(self.name, self._wants.key, whole)

    def weigh(self) -> float:
        """What a tool call of the session weighs: more the more of a full cache it keeps."""
        if self._way.gate is None or not self._way.weigh_kv:
            return 1.0
        return self._way.gate.weight(self.name, self._wants.key)

    def _place(self, call: Call, tried: set[str]) -> Member:
        member = self._way.fleet.place(self._session, self._target, call.body, tried)
        self.name = member.engine.name
        self._entry.place(self.name, self._session.why)
        self._way.retention.coming(self._session)
        return member

    async def _events(self, call: Call, member: Member) -> AsyncGenerator[Event, None]:
        fleet = self._way.fleet
        tried: set[str] = set()
        while True:
            if member.standing is Standing.ASLEEP:  # since it was placed
                member = self._place(call, tried)
            begun = False
            try:
                async with _Held(
                    self._way, member, self._wants, self._entry, self._session
                ) as held:
                    turn = member.engine.generate(call)
                    with current().generating(member.engine.name, call) as work:
                        try:
                            self._session.phase = Phase.GENERATING
                            self._called.clear()
                            event, waits = None, True
                            async for event in turn:
                                if not begun:
                                    held.begins()
                                    begun = True
                                if type(event) is ToolCall:
                                    self._called.append(event.name)
                                elif type(event) is Finished:
                                    self._note(held.turn, call, event)
                                if waits:
                                    waits = not work.begins(event)
                                yield event
                        finally:
                            await turn.aclose()
                        work.ended(event)
                fleet.judge(member, None)
                return
            except EngineError as error:
                fleet.judge(member, error)
                self._entry.fail(member.engine.name, error)
                tried.add(member.engine.name)
                # Until its first event nothing of the turn was told: another engine may be asked.
                if begun or not await fleet.may_retry(error, self._target, tried):
                    raise
            member = self._place(call, tried)

    def _note(self, held: Pass | None, call: Call, event: Finished) -> None:
        usage = event.usage
        self._session.turns += 1
        self._session.tokens += usage.prompt_tokens + usage.completion_tokens
        # Before the client is told: it may return at once.
        theirs = [name for name in self._called if name not in self._offered]
        goes_on = len(theirs) < len(self._called)
        away_s = self._way.retention.turn_ended(self._session, theirs, goes_on=goes_on)
        if held is None:
            return
        held.away_s = away_s
        if usage.prompt_tokens:  # servers may keep it to themselves
            cached = usage.cached_tokens if usage.knows_cached else None
            held.used = Used(usage.prompt_tokens, usage.completion_tokens, cached)
        if call.stream:
            held.measure()
