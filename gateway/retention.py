"""What sessions do between their turns: told to the engines that hold their KV blocks, and learned.

Events drive it: a turn ends, a tool begins, a request comes, a session is set aside or ends.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from engine.outlook import Outlook, Stand
from engine.protocol import Engine
from gateway.metrics import RetentionMetrics
from gateway.returns import Range, Returns
from gateway.sessions import Session


@dataclass(slots=True)
class _Known:
    """One session, as its engine was told of it."""

    name: str
    engine: str
    stand: Stand
    since_s: float
    expected_s: Range | None = None
    client: tuple[str, ...] | None = None
    """The calls its client was answered with; None while it was not answered."""
    owed: tuple[str, ...] = ()
    """Calls of its client's in a turn that calls our own tools, too: the answer comes later."""


class Retention:
    """Knows of every session that has had a turn; `forget` keeps it bounded."""

    def __init__(
        self,
        engines: Sequence[Engine],
        metrics: RetentionMetrics,
        clock: Callable[[], float],
        *,
        enabled: bool,
    ) -> None:
        """Not `enabled`, it learns when clients return, and tells no engine anything."""
        told = (engine for engine in engines if enabled and engine.takes_outlooks)
        self._engines = {engine.name: engine for engine in told}
        self._metrics = metrics
        self._clock = clock
        self._returns = Returns()
        self._sessions: dict[Hashable, _Known] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def coming(self, session: Session) -> None:
        """Its next turn is on its way, to what is its home now."""
        if session.home is None:
            return
        now, known = self._clock(), self._known(session)
        self._learn(session.tenant, known, now)
        if known.engine != session.home:
            self._say(known, "done", now, None)
            known.engine, known.stand = session.home, "coming"
        elif known.stand == "away":
            self._say(known, "coming", now, None)
        # Who was set aside may have to wait before the engine: it will see the turn itself.

    def begins(self, session: Session) -> None:
        """Its turn is admitted, whatever it was before."""
        self._known(session).stand = "coming"

    def in_tool(self, session: Session, expected_s: Range) -> Range:
        """A tool of ours has begun; the range of the whole absence, which its longest tool ends."""
        now, known = self._clock(), self._known(session)
        if known.stand == "coming":
            known.since_s, known.expected_s = now, None
        gone_s = now - known.since_s
        whole = (gone_s + expected_s[0], gone_s + expected_s[1])
        if known.expected_s is not None:
            whole = max(whole, known.expected_s, key=lambda ends: ends[1])
        self._say(known, "aside" if known.stand == "aside" else "away", known.since_s, whole)
        return whole

    def turn_ended(self, session: Session, calls: Sequence[str], *, goes_on: bool) -> Range | None:
        """A turn is whole; `calls` are its client's own, `goes_on` says that it calls ours too.

        The range that the client is expected back in, unless the request goes on by itself.
        """
        known = self._known(session)
        if goes_on:
            known.owed = tuple(calls)
            return None
        known.client = tuple(calls)
        expected_s = self._returns.expected(session.tenant, calls)
        self._say(known, "away", self._clock(), expected_s)
        return expected_s

    def left(self, session: Session) -> None:
        """A request of the session is over, however it ended."""
        known = self._sessions.get(session.key)
        if known is None or known.client is not None or session.running > 1:
            return
        if known.owed:
            self.turn_ended(session, known.owed, goes_on=False)
        elif known.stand != "aside":  # cut off, refused or failed: who knows
            self._say(known, "away", self._clock(), None)

    def set_aside(self, key: Hashable) -> None:
        """Admission has set the session aside."""
        if (known := self._sessions.get(key)) is not None:
            self._say(known, "aside", known.since_s, known.expected_s)

    def forget(self, key: Hashable) -> None:
        """The session has ended."""
        if (known := self._sessions.pop(key, None)) is not None:
            self._say(known, "done", self._clock(), None)

    def _known(self, session: Session) -> _Known:
        known = self._sessions.get(session.key)
        if known is None:
            known = _Known(session.alias, session.home or "", "coming", self._clock())
            self._sessions[session.key] = known
        return known

    def _learn(self, tenant: str, known: _Known, now: float) -> None:
        calls, expected_s = known.client, known.expected_s
        known.client, known.owed = None, ()
        if calls is None or expected_s is None:
            return
        gap_s = now - known.since_s
        self._returns.learn(tenant, calls, gap_s)
        end = "early" if gap_s < expected_s[0] else "late" if gap_s > expected_s[1] else "inside"
        self._metrics.returns.labels("call" if calls else "answer", end).inc()

    def _say(self, known: _Known, stand: Stand, since_s: float, expected_s: Range | None) -> None:
        known.stand, known.since_s, known.expected_s = stand, since_s, expected_s
        engine = self._engines.get(known.engine)
        if engine is not None:
            engine.expect(Outlook(known.name, stand, self._clock() - since_s, expected_s))
            self._metrics.outlooks.labels(known.engine, stand).inc()
