"""Who lives where, and what was served where."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.homes import PREFIXES, Homes, Prefixes, prefix_of

moves = st.lists(
    st.tuples(st.sampled_from("stuvw"), st.sampled_from(["a", "b", "c", None]), st.floats(0, 9))
)


@given(moves)
def test_every_program_counts_once_and_at_its_newest_home(
    steps: list[tuple[str, str, float]],
) -> None:
    homes, known = Homes(active_s=1000), dict[str, str]()
    for session, engine, now_s in steps:
        if engine is None:
            homes.leave(("t", session))
            known.pop(session, None)
        else:
            homes.settle(("t", session), engine, now_s)
            known[session] = engine
    for engine in "abc":
        assert homes.programs[engine] == list(known.values()).count(engine)


def test_a_program_that_was_idle_for_long_counts_no_more() -> None:
    homes = Homes(active_s=10)
    homes.settle(("t", "old"), "a", 0)
    homes.settle(("t", "new"), "b", 11)
    assert (homes.programs["a"], homes.programs["b"]) == (0, 1)


def test_the_same_session_of_two_tenants_is_two_programs() -> None:
    homes = Homes(active_s=10)
    homes.settle(("t", "s"), "a", 0)
    homes.settle(("u", "s"), "a", 0)
    assert homes.programs["a"] == 2


def test_prefixes_are_forgotten_by_age_and_by_number() -> None:
    prefixes = Prefixes(keep_s=10)
    prefixes.note(b"p", "a", 0)
    prefixes.note(b"p", "b", 5)
    assert prefixes.engines(b"p", 10) == {"a", "b"}
    assert prefixes.engines(b"p", 12) == {"b"}
    for number in range(PREFIXES):
        prefixes.note(str(number).encode(), "a", 12)
    assert prefixes.engines(b"p", 12) == set()


def test_agents_of_a_kind_share_their_prefix_and_others_do_not() -> None:
    system = {"role": "system", "content": "Be brief."}
    tools = [{"type": "function", "function": {"name": "f"}}]
    said = [{"role": "user", "content": text} for text in ("a", "b")]
    one, two = ({"messages": [system, message], "tools": tools} for message in said)
    assert prefix_of(one) == prefix_of(two)
    assert prefix_of(one) != prefix_of({**one, "tools": None})
    assert prefix_of(one) != prefix_of({**one, "messages": said})
    assert prefix_of({"prompt": "x"}) == prefix_of({"messages": "not a list"})


@given(moves, st.sampled_from("abc"))
def test_nobody_is_at_home_at_an_engine_that_was_given_up(
    steps: list[tuple[str, str, float]], gone: str
) -> None:
    homes, prefixes = Homes(active_s=1000), Prefixes(keep_s=1000)
    for session, engine, now_s in steps:
        if engine is not None:
            homes.settle(("t", session), engine, now_s)
            prefixes.note(session.encode(), engine, now_s)
    before = dict(homes.programs)
    homes.give_up(gone)
    prefixes.give_up(gone)
    assert homes.programs[gone] == 0
    assert all(
        homes.programs[engine] == before.get(engine, 0) for engine in "abc" if engine != gone
    )
    assert not any(gone in prefixes.engines(name.encode(), 0) for name in "stuvw")
