"""Sessions decide what stays in the KV cache: on vLLM's real scheduler, by its own blocks."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from engine.outlook import Outlook, Stand
from engine.vllm.plugin.scheduler import AgentAsyncScheduler, AgentScheduler
from tests.engine.scheduler_rig import BLOCK, Kind, Rig, scheduled, tokens

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
slow = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

A = tokens(80, "a")  # 20 blocks


def fill(rig: Rig, count: int, length: int = 60, *, end: Stand | None = None) -> None:
    """So many other sessions have a turn, one after the other."""
    for index in range(count):
        rig.turn(f"other{index}", tokens(length, index))
        if end is not None:
            rig.expect(Outlook(f"other{index}", end))


def test_a_session_that_returns_soon_outlasts_those_that_stay_away() -> None:
    for expected_s, found in (((5.0, 6.0), 76), ((3000.0, 4000.0), 0)):
        rig = Rig(AgentScheduler, 40)
        rig.turn("a", A)
        rig.expect(Outlook("a", "away", expected_s=expected_s))
        for index in range(4):
            rig.turn(f"other{index}", tokens(60, index))
            rig.expect(Outlook(f"other{index}", "away", expected_s=(600.0, 900.0)))

        assert rig.turn("a", A) == found


def test_finished_sessions_make_room_first() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    fill(rig, 5, end="done")

    assert rig.turn("a", A) == len(A) - BLOCK


def test_whom_admission_has_set_aside_goes_before_all_that_are_away() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    rig.expect(Outlook("a", "away", expected_s=(900.0, 900.0)))
    rig.turn("b", tokens(60, "b"))
    rig.expect(Outlook("b", "aside", expected_s=(1.0, 2.0)))
    rig.turn("c", tokens(80, "c"))

    assert rig.turn("a", A) == len(A) - BLOCK
    assert rig.turn("b", tokens(60, "b")) == 0


def test_the_end_of_a_context_goes_before_its_beginning() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    rig.turn("b", tokens(100, "b"))  # 25 blocks: 5 of the first 20 have to go

    assert rig.turn("a", A) == len(A) - 5 * BLOCK


def test_what_sessions_share_is_kept_for_the_most_valuable_of_them() -> None:
    rig = Rig(AgentScheduler, 40)
    shared = tokens(40, "shared")
    rig.turn("soon", shared + tokens(20, "soon"))
    rig.expect(Outlook("soon", "away", expected_s=(5.0, 6.0)))
    rig.turn("late", shared + tokens(40, "late"))
    rig.expect(Outlook("late", "away", expected_s=(5000.0, 6000.0)))
    rig.turn("other", tokens(90, "other"))

    assert rig.turn("soon", shared + tokens(20, "soon")) == 60 - BLOCK


def test_a_turn_that_waits_in_the_engine_keeps_its_context() -> None:
    rig = Rig(AgentScheduler, 40, batched=16)
    rig.turn("a", A)
    rig.turn("b", tokens(40, "b"))
    rig.add("long", tokens(70, "long"), writes=2, session="long")
    rig.add("a again", A, session="a")
    rig.run()

    assert rig.cached["a again"] == len(A) - BLOCK


def test_a_finished_tool_brings_its_session_before_all_that_are_away() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    rig.expect(Outlook("a", "away", expected_s=(900.0, 900.0)))
    rig.turn("b", tokens(60, "b"))
    rig.expect(Outlook("b", "away", expected_s=(20.0, 30.0)), Outlook("a", "coming"))
    rig.turn("c", tokens(60, "c"))

    assert rig.turn("a", A) == len(A) - BLOCK


def test_of_nobody_known_the_one_that_came_last_stays() -> None:
    rig = Rig(AgentScheduler, 40)
    fill(rig, 6)

    assert rig.turn("other5", tokens(60, 5)) == 60 - BLOCK
    assert rig.turn("other1", tokens(60, 1)) == 0


def test_an_edited_history_does_not_lose_the_new_branch() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    branch = A[:40] + tokens(40, "edited")
    rig.turn("a", branch)
    rig.turn("b", tokens(40, "b"))

    assert rig.turn("a", branch) == len(branch) - BLOCK


def test_two_conversations_under_one_name_are_both_kept_once_they_take_turns() -> None:
    rig = Rig(AgentScheduler, 60)
    other = tokens(60, "parallel")
    for turn in range(2):
        rig.turn("a", A[: 60 + 20 * turn])
        rig.turn("a", other[: 40 + 20 * turn])
    rig.expect(Outlook("a", "away", expected_s=(5.0, 6.0)))
    fill(rig, 1)

    assert rig.turn("a", A) == len(A) - BLOCK
    assert rig.turn("a", other) == len(other) - BLOCK


def test_what_a_session_has_gone_on_from_otherwise_goes_before_all_that_are_away() -> None:
    rig = Rig(AgentScheduler, 60)
    rig.turn("b", tokens(80, "b"))
    rig.turn("a", A)
    rig.turn("a", A[:20] + tokens(60, "edited"))
    fill(rig, 1, 80)

    assert rig.turn("b", tokens(80, "b")) == 80 - BLOCK


def test_hidden_ends_go_first_also_after_one_of_them_has_gone() -> None:
    """What was left of a context whose hidden end had gone was taken for a second conversation's
    beginning, so that from then on the session's hidden ends were kept like its context."""
    rig = Rig(AgentScheduler, 60)
    rig.turn("b", tokens(80, "b"))
    rig.expect(Outlook("b", "away", expected_s=(900.0, 900.0)))
    seen = tokens(20, "a")
    for turn, hidden in enumerate((40, 40, 40, 20)):
        seen = seen + tokens(20, f"seen {turn}")
        rig.turn("a", seen + tokens(hidden, f"hidden {turn}"))
    fill(rig, 1, 40)

    assert rig.turn("b", tokens(80, "b")) == 80 - BLOCK
    assert rig.turn("a", seen) == len(seen) - BLOCK


def test_an_emptied_cache_is_forgotten() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)

    assert rig.scheduler.reset_prefix_cache()
    assert rig.scheduler.keeper.stats()["held"] == 0
    assert rig.turn("a", A) == 0
    rig.check_blocks()


def test_blocks_that_were_given_up_too_early_are_counted() -> None:
    rig = Rig(AgentScheduler, 40)
    rig.turn("a", A)
    rig.turn("b", tokens(100, "b"))
    rig.turn("a", A)

    stats = rig.scheduler.keeper.stats()
    assert stats["evicted_away"] >= 5
    assert stats["returned"] == 5


Work = list[tuple[int, int, int, int, int]]
work = st.lists(
    st.tuples(
        st.integers(0, 5),  # whose
        st.integers(1, 120),  # how much is new
        st.integers(1, 24),  # how much is written
        st.integers(0, 5),  # steps until the next comes
        st.integers(0, 7),  # what is told, or done, besides
    ),
    min_size=1,
    max_size=40,
)


def play(
    rig: Rig, load: Work, named: bool, besides: Callable[[Rig, str, str, int], None]
) -> list[object]:
    """Let sessions of growing contexts come; the schedule that comes of it."""
    contexts: dict[int, list[int]] = {}
    schedule: list[object] = []
    for index, (who, new, writes, steps, what) in enumerate(load):
        before = contexts.get(who, tokens(20, "system"))
        context = (before + tokens(new, index))[-400:]
        contexts[who] = context
        session = f"s{who}" if named else None
        rig.add(f"r{index}", context, writes=writes, session=session)
        besides(rig, f"s{who}", f"r{max(index - 2, 0)}", what)
        for _ in range(steps):
            schedule.extend(scheduled(rig.step()))
    while rig.scheduler.get_num_unfinished_requests():
        schedule.extend(scheduled(rig.step()))
    return schedule


def nothing(*_: object) -> None:
    """Nobody says anything."""


@slow
@given(work)
@pytest.mark.parametrize(
    ("ours", "theirs", "policy"),
    [
        (AgentScheduler, Scheduler, "fcfs"),
        (AgentScheduler, Scheduler, "priority"),
        (AgentAsyncScheduler, AsyncScheduler, "fcfs"),
    ],
)
def test_without_sessions_the_schedule_is_vllms_own(
    ours: Kind, theirs: Kind, policy: str, load: Work
) -> None:
    rigs = [Rig(kind, 120, policy=policy) for kind in (ours, theirs)]

    assert play(rigs[0], load, False, nothing) == play(rigs[1], load, False, nothing)


@slow
@given(work)
def test_turned_off_the_schedule_is_vllms_own(load: Work) -> None:
    off, vllms = Rig(AgentScheduler, 120, retention=False), Rig(Scheduler, 120)

    assert play(off, load, True, nothing) == play(vllms, load, True, nothing)


@slow
@given(work)
def test_while_all_contexts_fit_the_schedule_is_vllms_own(load: Work) -> None:
    ours, vllms = Rig(AgentScheduler, 4000), Rig(Scheduler, 4000)

    assert play(ours, load, True, tell) == play(vllms, load, True, nothing)


def tell(rig: Rig, session: str, request: str, what: int) -> None:
    """Something is told of a session, or a client goes away."""
    match what:
        case 0:
            rig.expect(Outlook(session, "away", 2.0, (1.0, 30.0)))
        case 1:
            rig.expect(Outlook(session, "coming"))
        case 2:
            rig.expect(Outlook(session, "aside", 0.0, (3.0, 9.0)))
        case 3:
            rig.expect(Outlook(session, "done"))


def tell_or_abort(rig: Rig, session: str, request: str, what: int) -> None:
    tell(rig, session, request, what)
    if what == 4:
        rig.abort(request)
    if what == 5:
        rig.scheduler.reset_prefix_cache()


@slow
@given(work)
@pytest.mark.parametrize("kind", [AgentScheduler, AgentAsyncScheduler])
@pytest.mark.parametrize("policy", ["fcfs", "priority"])
@pytest.mark.parametrize("step_s", [1.0, 0.01])
def test_no_block_is_lost_and_no_allocation_refused_whatever_is_told(
    kind: Kind, policy: str, step_s: float, load: Work
) -> None:
    rig = Rig(kind, 115, policy=policy, step_s=step_s)

    play(rig, load, True, tell_or_abort)

    rig.check_blocks()
    assert rig.pool.get_num_free_blocks() == 115
    keeper = rig.scheduler.keeper
    for chains in keeper._chains.values():
        for chain in chains:
            for block, content in zip(chain.blocks, chain.hashes, strict=True):
                assert block.block_hash is not content or keeper._claims[block.block_id] > 0
