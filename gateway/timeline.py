"""What became of the requests of each session, for people who ask why: a recorder, bounded.

Nothing is decided by it. Values come in through a few words of an `Entry`, clocks are handed in.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from engine.types import Finished, Passed, Usage
from gateway.errors import GatewayError
from gateway.events import ServerCall, ServerCallDone, ServerCallStarted, TurnEvent
from gateway.identity import Identity

Key: TypeAlias = tuple[str, str]

OF_SESSION = 64
OF_ALL = 8192
TROUBLES = 100
PLACEMENTS = 32
TOOLS = 64
CHARS = 300
NOTICED_S = 0.001


@dataclass(slots=True)
class Placement:
    """One turn's way to an engine; `failed` is what the engine said when it had to be left."""

    engine: str
    why: str
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A wait before the engine."""

    where: str
    seconds: float
    because: str


@dataclass(slots=True)
class ToolNote:
    """A server-side call; `began_s` counts from the request's arrival."""

    id: str
    name: str
    began_s: float
    outcome: str = "running"
    expected_s: tuple[float, float] | None = None
    wait_s: float | None = None
    run_s: float | None = None
    took_s: float | None = None

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "began_s": round(self.began_s, 4),
            "expected_s": self.expected_s,
            "wait_s": self.wait_s,
            "run_s": self.run_s,
            "took_s": self.took_s,
        }


@dataclass(slots=True, eq=False)
class Entry:
    """One request, written down while it goes on."""

    id: str
    endpoint: str
    began_at: float
    """Unix time."""
    clock: Callable[[], float]
    began_s: float
    identity: Identity | None = None
    held: list[Hold] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    tools: list[ToolNote] = field(default_factory=list)
    usage: Usage | None = None
    first_token_s: float | None = None
    total_s: float | None = None
    outcome: str = "running"
    code: str | None = None
    message: str | None = None

    @property
    def age_s(self) -> float:
        """How long ago it arrived."""
        return self.clock() - self.began_s

    @property
    def retried(self) -> int:
        """How often a turn went to another engine because one had failed."""
        if len(self.placements) < 2:
            return 0
        return sum(placement.failed is not None for placement in self.placements[:-1])

    def hold(self, where: str, seconds: float, because: str) -> None:
        """It had to wait before it went on; a wait nobody notices is not told."""
        if seconds >= NOTICED_S:
            self.held.append(Hold(where, seconds, because))

    def place(self, engine: str, why: str) -> None:
        """A turn goes to this engine."""
        if len(self.placements) < PLACEMENTS:
            self.placements.append(Placement(engine, why))

    def fail(self, engine: str, error: Exception) -> None:
        """The engine failed the turn, which may be tried elsewhere."""
        if self.placements and self.placements[-1].engine == engine:
            self.placements[-1].failed = str(error)[:CHARS]

    def answer(self) -> None:
        """The first token has come."""
        if self.first_token_s is None:
            self.first_token_s = self.clock() - self.began_s

    def hear(self, event: TurnEvent) -> None:
        """Take an event on its way to the client; pieces of text need not be told."""
        if type(event) is Passed:  # as many as there are tokens
            return
        if isinstance(event, Finished):
            self.usage = event.usage
        elif isinstance(event, ServerCall):
            if len(self.tools) < TOOLS:
                now_s = self.clock() - self.began_s
                self.tools.append(ToolNote(event.id, event.name, now_s))
        elif isinstance(event, ServerCallStarted):
            if (tool := self._running(event.id)) is not None:
                tool.expected_s = event.started.expected_s
                tool.wait_s = event.started.wait_s
        elif isinstance(event, ServerCallDone) and (tool := self._running(event.id)) is not None:
            outcome = event.outcome
            tool.outcome = outcome.outcome
            tool.expected_s = outcome.expected_s or tool.expected_s
            tool.wait_s, tool.run_s, tool.took_s = outcome.wait_s, outcome.run_s, outcome.took_s

    def _running(self, call_id: str) -> ToolNote | None:
        # From the end: some models number the calls of every turn anew.
        mine = (t for t in reversed(self.tools) if t.id == call_id and t.outcome == "running")
        return next(mine, None)

    def short(self) -> str:
        """All that is known so far, as a header has it."""
        last = self.placements[-1] if self.placements else Placement("", "unknown")
        waited_s = sum([hold.seconds for hold in self.held])
        said = f"{last.why}; waited={waited_s:.3f}; engine={last.engine}"
        if self.retried:
            said += f"; retried={self.retried}"
        if (usage := self.usage) is not None:
            said += f"; cached={usage.cached_tokens}/{usage.prompt_tokens}"
            said += f"; tools={len(self.tools)}; total={self.age_s:.3f}"
        return said

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        usage = self.usage
        return {
            "id": self.id,
            "endpoint": self.endpoint,
            "began_at": round(self.began_at, 3),
            "outcome": self.outcome,
            "error": {"code": self.code, "message": self.message} if self.code else None,
            "held": self.held,
            "placements": self.placements,
            "retried": self.retried,
            "prompt_tokens": usage.prompt_tokens if usage else None,
            "cached_tokens": usage.cached_tokens if usage else None,
            "completion_tokens": usage.completion_tokens if usage else None,
            "first_token_s": self.first_token_s,
            "total_s": self.total_s,
            "tools": [tool.told() for tool in self.tools],
        }


class Timeline:
    """The last requests of each session, and the last that were refused or failed."""

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], *, most: int = OF_ALL
    ) -> None:
        """`clock` measures, `wall` is Unix time."""
        self._clock = clock
        self._wall = wall
        self._most = most
        self._kept: OrderedDict[Key, deque[Entry]] = OrderedDict()
        self._count = 0
        self._troubles: deque[Entry] = deque(maxlen=TROUBLES)

    def open(self, request_id: str, endpoint: str) -> Entry:
        """A request has arrived; whose it is, is not known yet."""
        return Entry(request_id, endpoint, self._wall(), self._clock, self._clock())

    def attach(self, entry: Entry, identity: Identity) -> None:
        """The request is of this session."""
        entry.identity = identity
        key = (identity.tenant, identity.session)
        entries = self._kept.setdefault(key, deque(maxlen=OF_SESSION))
        self._count += len(entries) < OF_SESSION
        entries.append(entry)
        self._kept.move_to_end(key)
        while self._count > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._count -= len(oldest)

    def close(self, entry: Entry, outcome: str, error: GatewayError | None) -> None:
        """The request has ended."""
        entry.outcome = outcome
        entry.total_s = self._clock() - entry.began_s
        if error is not None:
            entry.code, entry.message = error.code, error.message[:CHARS]
            self._troubles.append(entry)

    def forget(self, tenant: str, session_id: str) -> None:
        """The session is to leave no trace; troubles stay until others push them out."""
        self._count -= len(self._kept.pop((tenant, session_id), ()))

    def of(self, tenant: str, session_id: str, last: int = OF_SESSION) -> Sequence[Entry]:
        """The last requests of a session, the oldest first."""
        entries = self._kept.get((tenant, session_id), ())
        return list(islice(reversed(entries), last))[::-1]

    @property
    def troubles(self) -> Sequence[Entry]:
        """What was refused or failed, the newest first."""
        return list(reversed(self._troubles))

    def __len__(self) -> int:
        return self._count
