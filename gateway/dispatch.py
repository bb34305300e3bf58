"""One request's way to the engines: every turn is placed anew, and tried again if that is safe."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from engine.errors import EngineError
from engine.types import Call, Event
from gateway.fleet import Fleet, Member
from gateway.routes import Target
from gateway.sessions import Session
from gateway.trail import current


class Dispatch:
    """Generates as an engine does, on whichever engine is the session's home in that turn."""

    def __init__(self, fleet: Fleet, session: Session, target: Target) -> None:
        self._fleet = fleet
        self._session = session
        self._target = target
        self.name = ""
        """The engine of the last turn."""

    def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Place the turn and generate. Raises EngineGone at once, EngineError while iterated."""
        self._fleet.arrive()
        return self._events(call, self._place(call, set()))

    def _place(self, call: Call, tried: set[str]) -> Member:
        member = self._fleet.place(self._session, self._target, call.body, tried)
        self.name = member.engine.name
        return member

    async def _events(self, call: Call, member: Member) -> AsyncGenerator[Event, None]:
        tried: set[str] = set()
        while True:
            begun = False
            member.in_flight += 1
            try:
                async with (
                    current().generating(member.engine.name, call) as work,
                    aclosing(member.engine.generate(call)) as events,
                ):
                    event, waits = None, True
                    async for event in events:
                        begun = True
                        if waits:
                            waits = not work.begins(event)
                        yield event
                    work.ended(event)
                self._fleet.judge(member, None)
                return
            except EngineError as error:
                self._fleet.judge(member, error)
                tried.add(member.engine.name)
                # Until its first event nothing of the turn was told: another engine may be asked.
                if begun or not self._fleet.may_retry(error, self._target, tried):
                    raise
            finally:
                member.in_flight -= 1
            member = self._place(call, tried)
