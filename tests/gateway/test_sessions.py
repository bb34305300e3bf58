"""Live sessions, whatever order requests come and go in."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.identity import Claim, Identity
from gateway.recognition import Answered, Recognised, Recognition
from gateway.sessions import Phase, Session, Sessions
from tests.parts.clock import Clock

LIVE, IDLE_S = 3, 10.0


def named(session: str, tenant: str = "t", group: str | None = None) -> Identity:
    return Identity(tenant, session, group, True)


def fresh(*, live: int = LIVE) -> tuple[Sessions, Clock]:
    clock = Clock()
    return Sessions(live=live, idle_s=IDLE_S, clock=clock, memory=Recognition()), clock


def test_a_session_is_found_again_with_its_home() -> None:
    sessions, _ = fresh()
    session = sessions.open(named("a"))
    session.home = "engine"
    sessions.leave(session)
    again = sessions.open(named("a"))
    assert again is session
    assert (again.home, again.requests) == ("engine", 2)


def test_the_same_name_under_two_tenants_is_two_sessions() -> None:
    sessions, _ = fresh()
    assert sessions.open(named("a", "one")) is not sessions.open(named("a", "two"))


def test_a_session_nobody_named_ends_with_its_last_request() -> None:
    sessions, _ = fresh()
    session = sessions.open(Identity("t", "new-1", None, False))
    sessions.leave(session)
    assert len(sessions) == 0


def test_a_session_that_was_answered_stays_because_it_can_be_recognised() -> None:
    memory = Recognition()
    sessions = Sessions(live=LIVE, idle_s=IDLE_S, clock=Clock(), memory=memory)
    request = memory.recognise(Claim("t", messages=[{"role": "user", "content": "hi"}]))
    session = sessions.open(request.identity)
    memory.answered(request, Answered("id", "hello", ()))
    sessions.leave(session)
    assert sessions.find("t", session.id) is session


def test_what_was_kept_of_a_forgotten_session_goes_with_it() -> None:
    memory, clock = Recognition(), Clock()
    sessions = Sessions(live=2, idle_s=IDLE_S, clock=clock, memory=memory)
    for number in range(20):
        said = [{"role": "user", "content": str(number)}]
        request: Recognised = memory.recognise(Claim("t", messages=said))
        session = sessions.open(request.identity)
        memory.answered(request, Answered(f"id-{number}", "hello", ()))
        sessions.leave(session)
    assert len(sessions) == len(memory) == 2


def test_an_ended_session_goes_with_its_last_request() -> None:
    sessions, _ = fresh()
    first, second = sessions.open(named("a")), sessions.open(named("a"))
    assert sessions.end("t", "a")
    sessions.leave(first)
    assert sessions.find("t", "a") is second
    sessions.leave(second)
    assert sessions.find("t", "a") is None
    assert not sessions.end("t", "a")


def test_a_sub_agent_is_of_its_parents_group() -> None:
    sessions, _ = fresh()
    sessions.open(named("a", group="g"))
    child = sessions.open(Identity("t", "b", None, False, parent="a"))
    grandchild = sessions.open(Identity("t", "c", None, False, parent="b"))
    assert (child.group, grandchild.group) == ("g", "g")
    assert sessions.open(Identity("t", "d", None, False, parent="gone")).group == "gone"


def test_a_session_nobody_started_is_the_first_of_its_own_group() -> None:
    sessions, _ = fresh()
    assert sessions.open(named("a")).group == "a"


def test_a_session_the_client_takes_up_by_its_given_name_stays() -> None:
    """The answer's header tells the name while the first request still runs."""
    sessions, _ = fresh()
    first = sessions.open(Identity("t", "new-1", None, False))
    second = sessions.open(named("new-1"))
    sessions.leave(first)
    sessions.leave(second)
    assert sessions.open(named("new-1")) is first


def test_groups_are_counted_for_each_tenant_and_an_agent_by_itself_is_one() -> None:
    sessions, _ = fresh()
    for session, tenant, group in (("a", "t", "g"), ("b", "t", "g"), ("a", "u", "g")):
        sessions.open(named(session, tenant, group=group))
    sessions.open(named("c"))
    assert sessions.groups() == 3


def test_a_session_keeps_its_group_until_another_is_named() -> None:
    sessions, _ = fresh()
    sessions.open(named("a", group="g"))
    assert sessions.open(named("a")).group == "g"
    assert sessions.open(named("a", group="h")).group == "h"


def test_between_two_requests_a_session_waits_for_its_client() -> None:
    sessions, _ = fresh()
    session = sessions.open(named("a"))
    assert session.phase is Phase.QUEUED
    sessions.leave(session)
    assert sessions.phases() == {
        "queued": 0,
        "generating": 0,
        "in_tool": 0,
        "waiting_for_client": 1,
    }


def test_an_idle_session_is_forgotten_when_others_come() -> None:
    sessions, clock = fresh()
    sessions.leave(sessions.open(named("old")))
    clock.now_s += IDLE_S + 1
    sessions.leave(sessions.open(named("new")))
    assert len(sessions) == 1


def test_the_session_unused_longest_makes_room() -> None:
    sessions, _ = fresh(live=2)
    kept, gone = sessions.open(named("a")), sessions.open(named("b"))
    sessions.leave(kept)
    sessions.leave(gone)
    sessions.leave(sessions.open(named("a")))
    sessions.leave(sessions.open(named("c")))
    assert len(sessions) == 2
    assert sessions.open(named("a")) is kept


def test_long_requests_do_not_shield_the_idle_sessions_behind_them() -> None:
    """Two requests that ran for long kept the table from ever being cleared."""
    sessions, _ = fresh(live=3)
    for name in ("long", "longer", "longest"):
        sessions.open(named(name))
    for number in range(100):
        sessions.leave(sessions.open(named(str(number))))
    assert len(sessions) <= 3 + 3


class Life(RuleBasedStateMachine):
    """Requests come and go, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions, self.clock = fresh()
        self.running: list[Session] = []
        self.most_running = 0

    @rule(tenant=st.sampled_from("xy"), name=st.sampled_from("abcdefgh"), is_named=st.booleans())
    def open(self, tenant: str, name: str, is_named: bool) -> None:
        identity = Identity(tenant, name if is_named else f"new-{name}", None, is_named)
        session = self.sessions.open(identity)
        assert (session.tenant, session.id) == (identity.tenant, identity.session)
        for other in self.running:
            same = (other.tenant, other.id) == (session.tenant, session.id)
            assert same == (other is session), "a running session was forgotten, or shared"
        self.running.append(session)
        self.most_running = max(self.most_running, len(self.running))

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.running) - 1))
        session = self.running.pop(index)
        session.phase = Phase.GENERATING
        self.sessions.leave(session)

    @rule(passed_s=st.sampled_from([0.0, 1.0, IDLE_S, 2 * IDLE_S]))
    def wait(self, passed_s: float) -> None:
        self.clock.now_s += passed_s

    @invariant()
    def every_session_is_in_one_phase(self) -> None:
        assert sum(self.sessions.phases().values()) == len(self.sessions)

    @invariant()
    def the_table_is_bounded(self) -> None:
        assert len(self.sessions) <= LIVE + 2 * self.most_running

    @invariant()
    def who_runs_is_known(self) -> None:
        phases = self.sessions.phases()
        idle = phases[Phase.WAITING_FOR_CLIENT]
        assert len(self.sessions) - idle == len({id(session) for session in self.running})


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30)
