"""Admission by program: a policy without clock or engine."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.program import FIRST_GROWTH, Program, Rule, Stand, Used
from gateway.working_set import WorkingSet

RATE = 1000.0


def pool(capacity: int, **rules: float) -> WorkingSet:
    return WorkingSet(Rule(prefill_rate=RATE, target=1.0, **rules), capacity)


def program(name: str, started_s: float = 0.0, tenant: str = "t", **fields: object) -> Program:
    return Program(name, tenant, started_s, growth=0.0, **fields)  # type: ignore[arg-type]


def granted(pool: WorkingSet, now: float) -> Iterator[str]:
    while (head := pool.grant(now)) is not None:
        yield str(head.key)


def run_turn(pool: WorkingSet, one: Program, tokens: int, now: float) -> None:
    """A turn that is admitted and ends at once, all of its prompt found but the first time."""
    pool.ask(one, tokens, now)
    list(granted(pool, now))
    assert str(one.stand) == "running"
    pool.end(one, now, Used(tokens, 0, tokens if one.turns else 0))


def test_programs_are_admitted_while_their_contexts_fit() -> None:
    set_ = pool(1000)
    for name in ("a", "b", "c"):
        set_.ask(program(name), 400, 0.0)
    assert list(granted(set_, 0.0)) == ["a", "b"]
    assert (set_.admitted, set_.waiting, set_.ratio) == (2, 1, 0.8)


def test_where_the_pool_is_not_known_everybody_goes() -> None:
    set_ = pool(0)
    for name in ("a", "b", "c"):
        set_.ask(program(name), 10**9, 0.0)
    assert list(granted(set_, 0.0)) == ["a", "b", "c"]


def test_a_program_larger_than_the_pool_goes_alone() -> None:
    set_ = pool(1000)
    large = program("large")
    set_.ask(large, 5000, 0.0)
    set_.ask(program("small", 1.0), 10, 0.0)
    assert list(granted(set_, 0.0)) == ["large"]
    set_.end(large, 1.0, Used(5000, 10, 0))
    set_.leave(large)
    assert list(granted(set_, 1.0)) == ["small"]


def test_the_next_turn_of_an_admitted_program_never_waits() -> None:
    set_ = pool(1000)
    first = program("first")
    run_turn(set_, first, 900, 0.0)
    set_.ask(program("second"), 500, 1.0)
    assert list(granted(set_, 1.0)) == []
    set_.ask(first, 950, 2.0)
    assert first.stand is Stand.RUNNING


def test_a_prefix_that_all_share_counts_once() -> None:
    set_ = pool(1000)
    for name in ("a", "b", "c"):
        one = program(name)
        set_.ask(one, 400, 0.0)
        assert list(granted(set_, 0.0)) == [name]
        set_.end(one, 0.0, Used(400, 0, 300))
    assert set_.demand == 300 + 3 * 100


def test_a_program_away_for_long_is_set_aside_for_one_that_waits() -> None:
    set_ = pool(1000, patience=2.0)  # bringing one back costs the pool 1000 / 1000 = 1 s
    away = program("away")
    run_turn(set_, away, 600, 0.0)
    set_.ask(program("head"), 600, 1.0)
    assert list(granted(set_, 1.9)) == []
    assert set_.next_s(1.9) == 2.0
    assert list(granted(set_, 2.1)) == ["head"]
    assert (away.stand, set_.set_aside) == (Stand.OUT, 1)


def test_of_a_full_pool_each_head_takes_the_place_of_the_longest_away() -> None:
    set_ = pool(1000, patience=2.0)
    for number in range(10):
        run_turn(set_, program(f"old{number}"), 100, float(number))
    for number in range(10):
        new, now = program(f"new{number}"), 20.0 + number / 100
        set_.ask(new, 100, now)
        assert list(granted(set_, now)) == [f"new{number}"]
        set_.end(new, now, Used(100, 0, 0))
        assert [gone.key for gone in set_.take_set_aside()] == [f"old{number}"]


def test_a_head_that_was_looked_at_in_vain_is_looked_at_again_when_it_is_said() -> None:
    set_ = pool(1000, patience=2.0)
    busy, head = program("busy"), program("head")
    set_.ask(busy, 900, 0.0)
    list(granted(set_, 0.0))
    set_.ask(head, 900, 5.0)
    assert list(granted(set_, 5.0)) == []
    set_.end(busy, 5.001, Used(900, 0, 0))
    set_.expect(busy, (600.0, 900.0))
    assert list(granted(set_, 5.001)) == []
    until = set_.next_s(5.001)
    assert until is not None and until < 5.1
    assert list(granted(set_, until)) == ["head"]


def test_a_tool_expected_back_soon_keeps_its_program_in() -> None:
    set_ = pool(1000, patience=2.0)
    soon, late = program("soon"), program("late")
    run_turn(set_, soon, 400, 0.0)
    run_turn(set_, late, 400, 0.0)
    set_.expect(soon, (9.0, 11.0))
    set_.expect(late, (90.0, 110.0))
    set_.ask(program("head"), 600, 9.0)
    assert list(granted(set_, 9.0)) == ["head"]
    assert (soon.stand, late.stand) == (Stand.IDLE, Stand.OUT)


@pytest.mark.parametrize(("at_client", "next_s"), [(True, 5.0), (False, 121.0)])
def test_a_client_that_never_stayed_away_for_so_long_has_ended_and_a_tool_has_not(
    at_client: bool, next_s: float
) -> None:
    set_ = pool(100_000)  # whose patience is over after 200 s
    one, head = program("one"), program("head", 1.0)
    run_turn(set_, one, 90_000, 0.0)
    set_.expect(one, (0.01, 0.02), at_client=at_client)
    set_.ask(head, 50_000, 1.0)
    assert list(granted(set_, 1.0)) == [], "it may come back any moment"
    assert set_.next_s(1.0) == next_s
    assert bool(list(granted(set_, 5.0))) is at_client


def test_nobody_is_set_aside_if_that_does_not_let_the_head_in() -> None:
    set_ = pool(1000)
    idle, busy = program("idle"), program("busy")
    run_turn(set_, idle, 100, 0.0)
    set_.ask(busy, 800, 0.0)
    list(granted(set_, 0.0))
    set_.ask(program("head"), 500, 50.0)
    assert list(granted(set_, 50.0)) == []
    assert idle.stand is Stand.IDLE


def test_for_whoever_has_waited_for_the_bound_anybody_idle_makes_room() -> None:
    set_ = pool(1000, bound_s=120.0, patience=1e6)
    small, large = program("small"), program("large")
    run_turn(set_, small, 300, 0.0)
    run_turn(set_, large, 600, 0.0)
    set_.ask(program("head"), 400, 1.0)
    assert list(granted(set_, 120.9)) == []
    assert set_.next_s(100.0) == 121.0
    assert list(granted(set_, 121.0)) == ["head"]
    assert (small.stand, large.stand) == (Stand.OUT, Stand.IDLE)


def test_nobody_that_runs_makes_room() -> None:
    set_ = pool(1000, bound_s=120.0)
    busy = program("busy")
    set_.ask(busy, 900, 0.0)
    list(granted(set_, 0.0))
    set_.ask(program("head"), 900, 1.0)
    assert list(granted(set_, 500.0)) == []
    assert set_.next_s(500.0) is None
    set_.end(busy, 501.0, None)
    assert list(granted(set_, 501.0)) == ["head"]


def test_rotation_takes_no_more_of_the_engine_than_its_share() -> None:
    set_ = pool(1000, bound_s=10.0, patience=1e6, rotation=0.5)
    first, second = program("first"), program("second")
    run_turn(set_, first, 900, 0.0)
    set_.ask(second, 900, 0.0)
    assert list(granted(set_, 10.0)) == ["second"]
    set_.end(second, 11.0, Used(900, 0, 0))
    set_.ask(first, 900, 11.0)
    # 900 tokens at half of 1000 a second have been paid for 1.8 s after they were given up.
    assert list(granted(set_, 21.0)) == ["first"]
    set_.end(first, 21.0, Used(900, 0, 0))
    set_.ask(second, 900, 11.0)
    assert list(granted(set_, 22.7)) == []
    assert set_.next_s(22.7) == pytest.approx(22.8)
    assert list(granted(set_, 22.9)) == ["second"]


def test_admitted_programs_may_grow_by_the_slack_and_then_the_smallest_idle_one_goes() -> None:
    set_ = pool(1000, slack=0.1)
    small, large, growing = program("small"), program("large"), program("growing")
    run_turn(set_, small, 200, 0.0)
    run_turn(set_, large, 300, 0.0)
    run_turn(set_, growing, 500, 0.0)
    set_.ask(growing, 600, 1.0)
    assert (small.stand, set_.ratio) == (Stand.IDLE, 1.1)
    set_.ask(growing, 700, 2.0)
    assert (small.stand, large.stand, set_.ratio) == (Stand.OUT, Stand.IDLE, 1.0)


def test_of_those_that_have_waited_for_the_bound_the_longest_waiting_goes_first() -> None:
    set_ = pool(1000, bound_s=100.0)
    busy = program("busy")
    set_.ask(busy, 1000, 0.0)
    list(granted(set_, 0.0))
    set_.ask(program("younger, longer waiting", started_s=9.0), 500, 10.0)
    set_.ask(program("older", started_s=0.0), 500, 20.0)
    set_.end(busy, 200.0, None)
    set_.leave(busy)
    assert list(granted(set_, 200.0)) == ["younger, longer waiting", "older"]


def test_the_program_that_started_first_goes_first_and_waiting_makes_older() -> None:
    set_ = pool(1000, aging=4.0, grace_s=30.0)
    busy = program("busy")
    set_.ask(busy, 1000, 0.0)
    list(granted(set_, 0.0))
    set_.ask(program("young", started_s=100.0), 500, 0.0)
    set_.ask(program("old", started_s=0.0), 500, 60.0)
    set_.end(busy, 60.0, None)
    set_.leave(busy)
    # 30 s beyond the grace make 120 s.
    assert list(granted(set_, 60.0)) == ["young", "old"]


def test_a_class_goes_before_another_and_the_tenant_with_less_before_one_with_more() -> None:
    set_ = pool(1000)
    rich = program("rich", tenant="rich")
    set_.ask(rich, 600, 0.0)
    list(granted(set_, 0.0))
    set_.ask(program("more", 0.0, "rich"), 300, 0.0)
    set_.ask(program("poor", 5.0, "poor"), 300, 0.0)
    set_.ask(program("urgent", 9.0, "rich", rank=(-1, 0)), 100, 0.0)
    assert list(granted(set_, 0.0)) == ["urgent", "poor"]


def test_several_turns_of_one_program_are_one_account() -> None:
    set_ = pool(1000)
    one = program("one")
    set_.ask(one, 300, 0.0)
    set_.ask(one, 300, 0.0)
    assert list(granted(set_, 0.0)) == ["one"]
    assert (one.running, set_.demand) == (2, 300)
    set_.end(one, 1.0, None)
    assert str(one.stand) == "running"
    set_.end(one, 1.0, None)
    assert str(one.stand) == "idle"


def test_a_call_weighs_one_below_the_knee_and_more_for_a_larger_context_above() -> None:
    set_ = pool(1000)
    small, large, aside = program("small"), program("large"), program("aside")
    run_turn(set_, small, 100, 0.0)
    run_turn(set_, large, 600, 0.0)
    assert set_.weight(small) == set_.weight(large) == 1.0
    run_turn(set_, program("third"), 300, 0.0)  # all of the pool
    third = 1000 / 3
    assert set_.weight(small) == pytest.approx(1 + 100 / third)
    assert set_.weight(large) == pytest.approx(1 + 600 / third)
    assert set_.weight(aside) == 1.0


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30))
def test_below_the_pool_everything_goes_in_the_order_it_came(sizes: list[int]) -> None:
    set_ = pool(sum(sizes) + len(sizes) * int(FIRST_GROWTH))
    for number, size in enumerate(sizes):
        one = Program(str(number), "t", float(number))
        set_.ask(one, size, float(number))
        assert list(granted(set_, float(number))) == [str(number)]
    assert set_.set_aside == 0


def test_idle_programs_that_would_make_room_are_no_need() -> None:
    set_ = pool(1000)  # whose patience is over after 2 * 1000 / 10000 s
    soon, long = program("soon"), program("long", 1.0)
    for one, away_s in ((soon, (0.1, 0.1)), (long, (60.0, 60.0))):
        run_turn(set_, one, 400, 0.0)
        set_.expect(one, away_s)
    assert (set_.ratio, set_.needed_ratio(0.0)) == (0.8, 0.4)
    set_.ask(long, 400, 0.0)
    assert set_.needed_ratio(0.0) == 0.8, "it runs again"
    assert pool(0).needed_ratio(0.0) == 0.0
