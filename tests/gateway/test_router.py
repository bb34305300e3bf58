"""Which engine serves a request."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.router import KV_FULL, NEAR, Candidate, Spill, Standing, explain, pick

SPILL = Spill(requests=8, ratio=2.0)

names = st.sampled_from("abcde")
candidates = st.lists(
    st.builds(
        Candidate,
        names,
        st.sampled_from(Standing),
        st.integers(0, 30),
        st.integers(0, 30),
        st.floats(0, 1),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.5, 1.0, 2.0]),
        st.integers(0, 60),
    ),
    unique_by=lambda candidate: candidate.name,
    max_size=5,
)


@given(st.none() | names, candidates)
def test_none_is_picked_only_when_no_engine_serves(
    home: str | None, engines: list[Candidate]
) -> None:
    picked = pick(home, engines, SPILL)
    serving = [engine for engine in engines if engine.standing.serves]
    assert picked in serving if serving else picked is None


@given(st.none() | names, candidates)
def test_an_ejected_engine_is_picked_only_when_none_is_well(
    home: str | None, engines: list[Candidate]
) -> None:
    picked = pick(home, engines, SPILL)
    if picked is not None and picked.standing is Standing.EJECTED:
        assert all(engine.standing is not Standing.WELL for engine in engines)


@given(names, candidates)
def test_a_session_stays_at_a_home_that_is_well_and_not_overloaded(
    home: str, engines: list[Candidate]
) -> None:
    for engine in engines:
        fit = engine.standing is Standing.WELL and not engine.is_pressed
        if engine.name == home and fit and engine.in_flight / engine.weight <= SPILL.requests:
            assert pick(home, engines, SPILL) == engine


@given(names, candidates)
def test_a_session_moves_only_for_an_engine_with_much_less_to_do(
    home: str, engines: list[Candidate]
) -> None:
    picked = pick(home, engines, SPILL)
    left = [e for e in engines if e.name == home and picked and e.standing is picked.standing]
    for engine in left:
        if picked is None or picked is engine:
            continue
        ours, theirs = engine.in_flight / engine.weight, picked.in_flight / picked.weight
        pressed = engine.is_pressed and not picked.is_pressed
        assert pressed or ours > SPILL.ratio * theirs + SPILL.requests


@given(candidates)
def test_a_new_session_goes_where_least_is_to_be_done(engines: list[Candidate]) -> None:
    picked = pick(None, engines, SPILL)
    if picked is None:
        return
    for other in engines:
        if other.standing is picked.standing and not other.is_full:
            assert not picked.is_full
            assert picked.level <= other.level * NEAR


@given(st.none() | names, candidates)
def test_the_order_of_the_engines_does_not_matter(
    home: str | None, engines: list[Candidate]
) -> None:
    assert pick(home, engines, SPILL) == pick(home, engines[::-1], SPILL)


def test_of_engines_alike_the_one_with_the_prefix_is_picked() -> None:
    engines = [Candidate("a", programs=20), Candidate("b", programs=21, has_prefix=True)]
    picked = pick(None, engines, SPILL)
    assert picked is not None and picked.name == "b"


def test_a_prefix_never_outweighs_an_idle_engine() -> None:
    engines = [Candidate("a"), Candidate("b", programs=1, has_prefix=True)]
    picked = pick(None, engines, SPILL)
    assert picked is not None and picked.name == "a"


def test_an_engine_whose_cache_is_full_takes_no_new_session() -> None:
    engines = [Candidate("a", kv_used_ratio=KV_FULL), Candidate("b", programs=5)]
    picked = pick(None, engines, SPILL)
    assert picked is not None and picked.name == "b"


def test_what_others_send_to_an_engine_counts_for_newcomers_and_drives_nobody_out() -> None:
    engines = [Candidate("a", reported=50), Candidate("b", programs=9)]
    newcomer, resident = pick(None, engines, SPILL), pick("a", engines, SPILL)
    assert newcomer is not None and newcomer.name == "b"
    assert resident is not None and resident.name == "a"


def test_twice_the_weight_is_twice_the_programs() -> None:
    programs = {"big": 0, "small": 0}
    for _ in range(30):
        picked = pick(
            None,
            [
                Candidate("big", programs=programs["big"], weight=2.0),
                Candidate("small", programs=programs["small"]),
            ],
            SPILL,
        )
        assert picked is not None
        programs[picked.name] += 1
    assert programs == {"big": 20, "small": 10}


def test_a_pick_is_explained_in_a_word() -> None:
    plain, full = Candidate("a"), Candidate("b", is_pressed=True)
    prefixed, gone = Candidate("c", has_prefix=True), Candidate("d", Standing.DRAINING)
    engines = [plain, full, prefixed, gone]
    assert explain("a", "a", engines, ()) == "home"
    assert explain(None, "a", [plain], ()) == "only"
    assert explain(None, "c", engines, ()) == "prefix"
    assert explain(None, "a", engines, ()) == "fewest_programs"
    assert explain("b", "a", engines, ()) == "moved:overloaded"
    assert explain("d", "a", engines, ()) == "moved:draining"
    assert explain("b", "a", [plain], {"b"}) == "moved:failed"
    assert explain("b", "a", [plain], ()) == "moved:elsewhere"
