"""Routing through whole histories: agents come, go on and go, engines fail and recover."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from engine.errors import BadCall, EngineAway, EngineBusy, EngineError, EngineFailed
from gateway.config import FailuresConfig, RoutingConfig
from gateway.errors import EngineGone
from gateway.fleet import Fleet
from gateway.member import Member
from gateway.metrics import FleetMetrics
from gateway.router import MOVED, Standing
from gateway.routes import Target
from gateway.sessions import Session
from gateway.store import MemoryStore
from tests.parts.clock import Clock
from tests.parts.engine import ScriptedEngine

NAMES = "abcd"
TARGET = Target("scripted")
BODY: dict[str, object] = {"messages": [{"role": "system", "content": "one for all"}]}
ROUTING = RoutingConfig(active_s=1e9)
FAILURES = FailuresConfig(in_a_row=2)
ENDS: list[EngineError | None] = [
    *(None, BadCall("wrong"), EngineAway("gone"), EngineFailed("broken")),
    EngineBusy("full", retry_after_s=5.0),
]

engines = st.sampled_from(NAMES)


def fleet(clock: Clock) -> Fleet:
    made = [ScriptedEngine([], name=name) for name in NAMES]
    metrics = FleetMetrics(CollectorRegistry())
    return Fleet(made, ROUTING, FAILURES, metrics, clock, store=MemoryStore(clock))


class Histories(RuleBasedStateMachine):
    """What may happen to a fleet, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.fleet = fleet(self.clock)
        self.sessions: dict[int, Session] = {}
        self.running: list[Member] = []
        self.opened = 0

    @rule(which=st.integers(0, 40))
    def turn(self, which: int) -> None:
        """A new agent, or another turn of one."""
        number = which if which in self.sessions else self.opened
        session = self.sessions.get(number) or Session(f"s-{number}", "t", "g", True)
        home, before = session.home, {n: m.standing for n, m in self.fleet.members.items()}
        try:
            member = self.fleet.place(session, TARGET, BODY)
        except EngineGone:
            assert not any(standing.serves for standing in before.values())
            return
        self.opened += number == self.opened
        self.sessions[number] = session
        assert before[member.engine.name] is min(before.values()), "the fittest there are"
        assert session.home == member.engine.name
        assert session.why.startswith(MOVED) == (home not in (None, session.home))
        if home is not None and session.home != home:
            self._expect_reason(self.fleet.members[home], member, before[home])
        member.in_flight += 1
        self.running.append(member)

    def _expect_reason(self, left: Member, taken: Member, standing: Standing) -> None:
        """No session leaves an engine that is well and has no more to do than others."""
        pressed = left.health.is_pressed(self.clock())
        busier = left.in_flight > ROUTING.spill_ratio * taken.in_flight + ROUTING.spill_requests
        assert standing is not Standing.WELL or pressed or busier

    @precondition(lambda self: self.running)
    @rule(data=st.data(), error=st.sampled_from(ENDS))
    def end(self, data: st.DataObject, error: EngineError | None) -> None:
        """A turn has ended, well or not."""
        member = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        member.in_flight -= 1
        before = member.standing
        self.fleet.judge(member, error)
        if error is None:
            assert not member.health.is_ejected
        if isinstance(error, EngineBusy):
            assert member.standing is before, "back-pressure is no failure"

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """An agent has done its work."""
        number = data.draw(st.sampled_from(sorted(self.sessions)))
        self.fleet.leave(("t", self.sessions.pop(number).id))

    @rule(name=engines, drains=st.booleans())
    def drain(self, name: str, drains: bool) -> None:
        """The operator takes an engine out, or in."""
        self.fleet.members[name].is_draining = drains

    @rule(name=engines)
    def die(self, name: str) -> None:
        """An engine's process ends; one stays, so that there is a fleet."""
        members = self.fleet.members
        if sum(not member.engine.died.is_set() for member in members.values()) > 1:
            members[name].engine.died.set()

    @rule(passed_s=st.floats(0, 20))
    def wait(self, passed_s: float) -> None:
        """Nothing, for a while."""
        self.clock.now_s += passed_s

    @invariant()
    def every_program_counts_once_and_where_it_lives(self) -> None:
        lives = Counter(session.home for session in self.sessions.values())
        assert self.fleet.programs == {name: lives[name] for name in NAMES}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(st.lists(st.integers(0, 30), max_size=200))
def test_while_nothing_fails_sessions_never_move_and_engines_share_them_evenly(
    turns: list[int],
) -> None:
    """All with the same prompt; each turn ends before the next one comes."""
    it, sessions = fleet(Clock()), dict[int, Session]()
    for number in turns:
        session = sessions.setdefault(number, Session(f"s-{number}", "t", "g", True))
        home = session.home
        member = it.place(session, TARGET, BODY)
        it.judge(member, None)
        assert home in (None, session.home)
    counts = it.programs.values()
    # The prompt in common chooses among engines within a tenth of the least busy one.
    assert max(counts) <= 1.1 * min(counts) + 1
