"""The token ids of past turns."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from engine.vllm.turn_memory import Turn, TurnMemory


def turn(*tokens: int, before: Turn | None = None) -> Turn:
    return Turn(before, array("I", tokens), end=2)


def test_a_turn_that_went_on_from_another_has_the_tokens_of_both() -> None:
    first = turn(1, 2)
    second = turn(3, before=first)
    assert turn(4, 5, before=second).tokens() == [1, 2, 3, 4, 5]


def test_the_longest_known_beginning_is_found() -> None:
    memory = TurnMemory(1000)
    memory.keep("s", b"one", turn(1))
    memory.keep("s", b"three", turn(3))
    found = memory.find("s", [b"none", b"one", b"two", b"three", b"four"])
    assert found is not None
    assert (found[0], found[1].tokens()) == (3, [3])
    assert memory.find("s", [b"none", b"two"]) is None
    assert memory.find("another", [b"none", b"one"]) is None


def test_the_session_unused_longest_goes_first() -> None:
    memory = TurnMemory(3 * 4)
    memory.keep("a", b"a", turn(1))
    memory.keep("b", b"b", turn(1))
    assert memory.find("a", [b"", b"a"]) is not None
    memory.keep("c", b"c", turn(1, 2))
    assert memory.find("b", [b"", b"b"]) is None
    assert memory.find("a", [b"", b"a"]) is not None


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 20)), max_size=60),
    st.integers(0, 200),
)
def test_the_memory_never_grows_beyond_its_bound(
    kept: list[tuple[int, int, int]], limit: int
) -> None:
    memory = TurnMemory(limit)
    for session, mark, length in kept:
        memory.keep(str(session), bytes([mark]), turn(*range(length)))
        assert 0 <= memory.size <= limit


def test_without_memory_nothing_is_kept() -> None:
    memory = TurnMemory(0)
    memory.keep("s", b"one", turn(1))
    assert memory.find("s", [b"", b"one"]) is None
