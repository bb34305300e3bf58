"""Policies on vLLM's own scheduler, in virtual time."""

from dataclasses import replace

import pytest

from benchmarks.agents.policies import CAP, POLICIES, VANILLA, Policy, named
from benchmarks.agents.records import Play
from benchmarks.agents.simulation import Scene, Simulation
from benchmarks.agents.tally import arriving, tally
from benchmarks.agents.workload import Workload

SEED = 1
WORKLOAD = Workload(sessions=24)
SCRIPTS = WORKLOAD.scripts(SEED)
# What a policy decides where everybody fits is nothing; the order of equals is one all the same.
NEUTRAL = [name for name, policy in POLICIES.items() if policy.order == "fcfs"]


def scene(load: float) -> Scene:
    live = WORKLOAD.live(load, SCRIPTS)
    return Scene(WORKLOAD.costs, SCRIPTS, SEED, live, scale=WORKLOAD.scale)


def crowded() -> Scene:
    """All sessions at once, on a pool that holds half of them."""
    found = scene(1.0)
    return replace(found, live=len(SCRIPTS), costs=replace(found.costs, share=0.2))


def schedule(played: Play) -> str:
    return tally(played, 1, 0.0).schedule


def test_the_same_seed_gives_the_same_schedule() -> None:
    policy = POLICIES["gate + retention, noisy"]
    first, second = (Simulation(crowded(), policy).run() for _ in range(2))
    assert schedule(first) == schedule(second)
    assert first.set_aside == second.set_aside


@pytest.mark.parametrize("name", NEUTRAL)
def test_below_the_knee_a_policy_gives_vanillas_schedule(name: str) -> None:
    vanilla = Simulation(scene(0.3), POLICIES[VANILLA]).run()
    assert schedule(Simulation(scene(0.3), POLICIES[name]).run()) == schedule(vanilla)


@pytest.mark.parametrize("name", POLICIES)
def test_every_turn_ends_exactly_once_and_its_times_are_in_order(name: str) -> None:
    played = Simulation(crowded(), POLICIES[name]).run()
    for session, script in zip(played.sessions, SCRIPTS, strict=True):
        assert [turn.number for turn in session.turns] == list(range(len(script)))
        assert session.ended_s == session.turns[-1].ended_s
        for turn in session.turns:
            times = (turn.came_s, turn.entered_s, turn.began_s, turn.first_s, turn.ended_s)
            assert list(times) == sorted(times)
            assert turn.computed >= turn.prompt - turn.cached
            assert turn.cached <= turn.kept


def test_a_crowd_thrashes_vanilla_and_not_gate_with_retention() -> None:
    found = {
        name: tally(Simulation(crowded(), POLICIES[name]).run(), len(SCRIPTS), 0.0)
        for name in (VANILLA, "gate + retention, events")
    }
    vanilla, ours = found.values()
    assert vanilla.cached_share < 0.8 * ours.cached_share
    assert ours.turns_per_s > vanilla.turns_per_s


def test_an_unbounded_pool_finds_all_that_was_said_but_the_last_block_of_it() -> None:
    played = Simulation(crowded(), POLICIES["unbounded pool"]).run()
    block = 16 * WORKLOAD.scale
    firsts = {session.turns[0].began_s for session in played.sessions}
    for session in played.sessions:
        for turn in session.turns:
            if turn.number or turn.began_s > min(firsts):
                assert turn.kept - turn.cached <= 2 * block


def test_a_cap_of_all_that_live_is_vanilla() -> None:
    capped = replace(crowded(), cap=len(SCRIPTS))
    vanilla = Simulation(crowded(), POLICIES[VANILLA]).run()
    assert schedule(Simulation(capped, Policy(CAP)).run()) == schedule(vanilla)


def test_a_cap_played_with_fewer_sessions_is_told_for_more() -> None:
    """What waits before the cap changes nothing behind it but the time of arrival."""
    few, many = replace(crowded(), live=6), replace(crowded(), live=15, cap=6)
    held = Simulation(many, Policy(CAP)).run()
    told = arriving(Simulation(few, Policy(CAP)).run(), 15)
    assert schedule(held) == schedule(told)
    assert [s.arrived_s for s in held.sessions] == [s.arrived_s for s in told.sessions]


def test_the_parts_of_a_session_are_the_whole_of_it() -> None:
    for name in (VANILLA, "gate, events", "thunder gate"):
        found = tally(Simulation(crowded(), POLICIES[name]).run(), len(SCRIPTS), 0.0)
        parts = found.parts
        whole = parts.queue_s + parts.prefill_s + parts.decode_s + parts.tool_s
        assert whole == pytest.approx(found.session_s.mean)


def test_in_the_open_loop_sessions_come_when_they_come() -> None:
    starts_s = WORKLOAD.starts(10, SCRIPTS, SEED)
    played = Simulation(replace(crowded(), starts_s=starts_s), POLICIES[VANILLA]).run()
    assert [session.arrived_s for session in played.sessions] == starts_s


@pytest.mark.parametrize("words", ["cap 0.8", "clairvoyant cap 0.8"])
def test_a_cap_is_named_by_its_load(words: str) -> None:
    assert named(words).cap_load == 0.8


def test_a_policy_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        named("nobody's policy")
