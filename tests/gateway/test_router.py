"""Which engine serves a request."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.router import Candidate, pick

names = st.sampled_from("abcde")
candidates = st.lists(
    st.builds(Candidate, names, st.booleans(), st.integers(0, 3), st.floats(0, 1)),
    unique_by=lambda candidate: candidate.name,
    max_size=5,
)


@given(st.none() | names, candidates)
def test_a_session_stays_at_home_while_its_engine_lives(
    home: str | None, engines: list[Candidate]
) -> None:
    if any(engine.alive and engine.name == home for engine in engines):
        assert pick(home, engines) == home


@given(st.none() | names, candidates)
def test_a_dead_engine_is_never_picked_and_none_only_when_all_are_dead(
    home: str | None, engines: list[Candidate]
) -> None:
    living = {engine.name for engine in engines if engine.alive}
    picked = pick(home, engines)
    assert picked in living if living else picked is None


@given(candidates)
def test_a_new_session_goes_where_least_is_to_be_done(engines: list[Candidate]) -> None:
    by_name = {engine.name: engine for engine in engines}
    picked = pick(None, engines)
    if picked is None:
        return
    best = by_name[picked]
    for other in engines:
        if other.alive:
            mine = (best.in_flight, best.kv_used_ratio)
            assert mine <= (other.in_flight, other.kv_used_ratio)


@given(st.none() | names, candidates)
def test_the_order_of_the_engines_does_not_matter(
    home: str | None, engines: list[Candidate]
) -> None:
    assert pick(home, engines) == pick(home, engines[::-1])
