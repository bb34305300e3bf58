"""Live sessions: where each is at home, and what its agent does now."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from heapq import nlargest
from itertools import islice
from typing import Protocol

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
    group: str
    """All agents that work on one thing; a session nobody started is the first of its own."""
    named: bool
    phase: Phase = Phase.QUEUED
    home: str | None = None
    """The engine that holds its KV blocks."""
    why: str = "new"
    """Why its last turn went there."""
    requests: int = 0
    running: int = 0
    last_s: float = 0.0
    started_s: float = 0.0
    turns: int = 0
    tokens: int = 0
    """Of all its turns' prompts and answers."""
    parent: str | None = None
    """The session whose tool call started this one."""
    agent: str | None = None
    """What its client calls the agent."""
    recognised_by: str = "new"
    number: int = 0
    """Which session it is since the start; later ones have greater numbers."""
    ended: bool = False
    """Whether its client has said that no more requests come."""
    key: tuple[str, str] = field(init=False)
    """What it is known by in every table: tenant and id."""
    alias: str = field(init=False)
    """Its name at the engines: ids are the clients' own, and two tenants may choose the same."""

    def __post_init__(self) -> None:
        self.key = (self.tenant, self.id)
        whole = f"{len(self.tenant)}:{self.tenant}{self.id}".encode(errors="surrogatepass")
        self.alias = blake2b(whole, digest_size=16).hexdigest()


class Memory(Protocol):
    """What else is kept of a session, and goes with it."""

    def knows(self, key: tuple[str, str]) -> bool:
        """Whether a client can come back to the session without naming it."""

    def forget(self, key: tuple[str, str]) -> None:
        """The session has ended."""


class Sessions:
    """All live sessions, bounded in number and in idle time."""

    def __init__(
        self, *, live: int, idle_s: float, clock: Callable[[], float], memory: Memory
    ) -> None:
        self._live = live
        self._idle_s = idle_s
        self._clock = clock
        self._memory = memory
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()
        self._opened = 0

    def open(self, identity: Identity) -> Session:
        """The session a request belongs to, made if it is new."""
        key = (identity.tenant, identity.session)
        session = self._sessions.get(key) or self._new(key, identity)
        session.group = identity.group or session.group
        session.agent = identity.agent or session.agent
        session.named |= identity.named
        session.recognised_by = identity.by
        session.ended = False
        session.requests += 1
        session.running += 1
        session.last_s = self._clock()
        session.phase = Phase.QUEUED
        self._sessions.move_to_end(key)
        self._expire()
        return session

    def _new(self, key: tuple[str, str], identity: Identity) -> Session:
        group = identity.group or identity.session
        if identity.group is None and identity.parent is not None:
            parent = self._sessions.get((identity.tenant, identity.parent))
            group = parent.group if parent is not None else identity.parent
        self._opened += 1
        session = self._sessions[key] = Session(
            identity.session,
            identity.tenant,
            group,
            identity.named,
            parent=identity.parent,
            number=self._opened,
            started_s=self._clock(),
        )
        return session

    def leave(self, session: Session) -> None:
        """One request of the session has ended; one that nobody can come back to ends with it."""
        session.running -= 1
        session.last_s = self._clock()
        if session.running:
            return
        session.phase = Phase.WAITING_FOR_CLIENT
        if session.ended or not (session.named or self._memory.knows(session.key)):
            self._forget(session.key)

    def give_up(self, engine: str) -> None:
        """What the engine held of sessions is gone: none has its home there any more."""
        for session in self._sessions.values():
            if session.home == engine:
                session.home = None

    def find(self, tenant: str, session_id: str) -> Session | None:
        """A tenant's session; another tenant's is not found."""
        return self._sessions.get((tenant, session_id))

    def end(self, tenant: str, session_id: str) -> bool:
        """No more requests come: the session ends now, or with its last running request.

        False when there is no such session.
        """
        session = self._sessions.get((tenant, session_id))
        if session is None:
            return False
        session.ended = True
        if not session.running:
            self._forget((tenant, session_id))
        return True

    def page(self, tenant: str, limit: int, before: int | None) -> Sequence[Session]:
        """A tenant's sessions, the newest first, those older than number `before`."""
        theirs = (
            session
            for session in self._sessions.values()
            if session.tenant == tenant and (before is None or session.number < before)
        )
        return nlargest(limit, theirs, key=lambda session: session.number)

    def latest(self, limit: int) -> Sequence[Session]:
        """All tenants' sessions, those that asked last first."""
        return list(islice(reversed(self._sessions.values()), limit))

    def sub_agents(self, tenant: str, session_id: str) -> Sequence[Session]:
        """The live sessions this one has started."""
        everybody = self._sessions.values()
        return [s for s in everybody if s.parent == session_id and s.tenant == tenant]

    def idle_s(self, session: Session) -> float:
        """How long ago the session was last heard of."""
        return self._clock() - session.last_s

    def _forget(self, key: tuple[str, str]) -> None:
        self._sessions.pop(key, None)
        self._memory.forget(key)

    def phases(self) -> dict[str, float]:
        """How many sessions are in each phase."""
        counts = Counter(session.phase for session in self._sessions.values())
        return {phase.value: float(counts[phase]) for phase in Phase}

    def groups(self) -> int:
        """How many groups have a live session; an agent by itself is one."""
        live = self._sessions.values()
        return len({(session.tenant, session.group) for session in live})

    def __contains__(self, session: Session) -> bool:
        """Whether the session is live: its client may come back to it."""
        return self._sessions.get(session.key) is session

    def __len__(self) -> int:
        return len(self._sessions)

    def _expire(self) -> None:
        # Two looks for every arrival keep the table within its bounds without ever scanning it.
        horizon = self._clock() - self._idle_s
        for key, session in list(islice(self._sessions.items(), 2)):
            if session.running:
                self._sessions.move_to_end(key)  # it would shield all behind it
            elif len(self._sessions) > self._live or session.last_s < horizon:
                self._forget(key)
