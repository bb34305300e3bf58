"""The names of blocks say what is in them."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.agents.context import BLOCK, Context

PREFIX = 3 * BLOCK + 5


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 40), st.integers(0, 300)), max_size=8)
)
def test_blocks_have_the_same_name_exactly_as_far_as_contexts_are_the_same(
    turns: list[tuple[int, int, int]],
) -> None:
    context = Context(0, PREFIX)
    tokens, _ = context.ask(120, 0)
    names = context.hash(0, tokens)
    for added, answer, kept in turns:
        context.answered(answer)
        kept = min(kept, len(context.tokens))
        before = context.tokens.copy()
        context.hash(0, before)
        tokens, same = context.ask(kept + added, kept)
        assert (len(tokens), same) == (kept + added, kept)
        assert tokens[:kept] == before[:kept]
        known, names = names, context.hash(0, tokens)
        assert len(names) == len(tokens) // BLOCK
        assert names[: kept // BLOCK][: len(known)] == known[: kept // BLOCK][: len(names)]
        fresh = Context(0, PREFIX)
        fresh.tokens = tokens.copy()
        assert fresh.hash(0, tokens) == names


def test_sessions_share_the_prefix_and_nothing_else() -> None:
    first, second = (Context(number, PREFIX) for number in (0, 512))
    names = [c.hash(0, c.ask(20 * BLOCK, 0)[0]) for c in (first, second)]
    shared = PREFIX // BLOCK
    assert names[0][:shared] == names[1][:shared]
    assert not set(names[0][shared:]) & set(names[1][shared:])
