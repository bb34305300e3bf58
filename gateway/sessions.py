"""Live sessions: where each is at home, and what its agent does now."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from gateway.identity import Identity


class Phase(StrEnum):
    """What an agent's program does."""

    QUEUED = "queued"
    GENERATING = "generating"
    IN_TOOL = "in_tool"
    WAITING_FOR_CLIENT = "waiting_for_client"


@dataclass(slots=True, eq=False)
class Session:
    """One agent's program."""

    id: str
    tenant: str
    group: str | None
    named: bool
    phase: Phase = Phase.QUEUED
    home: str | None = None
    """The engine that holds its KV blocks."""
    requests: int = 0
    running: int = 0
    last_s: float = field(default=0.0)


class Sessions:
    """All live sessions, bounded in number and in idle time."""

    def __init__(self, *, live: int, idle_s: float, clock: Callable[[], float]) -> None:
        self._live = live
        self._idle_s = idle_s
        self._clock = clock
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def open(self, identity: Identity) -> Session:
        """The session a request belongs to, made if it is new."""
        key = (identity.tenant, identity.session)
        session = self._sessions.get(key)
        if session is None:
            session = Session(identity.session, identity.tenant, identity.group, identity.named)
            self._sessions[key] = session
        session.group = identity.group or session.group
        session.named |= identity.named
        session.requests += 1
        session.running += 1
        session.last_s = self._clock()
        session.phase = Phase.QUEUED
        self._sessions.move_to_end(key)
        self._expire()
        return session

    def leave(self, session: Session) -> None:
        """One request of the session has ended; a session nobody named ends with it."""
        session.running -= 1
        session.last_s = self._clock()
        if session.running:
            return
        session.phase = Phase.WAITING_FOR_CLIENT
        if not session.named:
            self._sessions.pop((session.tenant, session.id), None)

    def phases(self) -> dict[str, float]:
        """How many sessions are in each phase."""
        counts = Counter(session.phase for session in self._sessions.values())
        return {phase.value: float(counts[phase]) for phase in Phase}

    def groups(self) -> int:
        """How many groups have a live session; an agent by itself is one."""
        live = self._sessions.values()
        return len({(session.tenant, session.group or session.id) for session in live})

    def __len__(self) -> int:
        return len(self._sessions)

    def _expire(self) -> None:
        # Two looks for every arrival keep the table within its bounds without ever scanning it.
        horizon = self._clock() - self._idle_s
        for key, session in list(islice(self._sessions.items(), 2)):
            if session.running:
                self._sessions.move_to_end(key)  # it would shield all behind it
            elif len(self._sessions) > self._live or session.last_s < horizon:
                del self._sessions[key]
