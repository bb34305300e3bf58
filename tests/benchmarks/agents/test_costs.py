"""What a step of the modelled engine takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.agents.costs import CARDS, MODELS, Chunk, Costs

CLOCK = Costs(CARDS["h100"], MODELS["20b-moe"]).clock()
ALL = [Costs(card, model) for card in CARDS.values() for model in MODELS.values()]


def test_the_default_pool_is_that_of_one_h100() -> None:
    costs = Costs(CARDS["h100"], MODELS["20b-moe"])
    assert costs.cards == 1
    assert costs.pool == pytest.approx(2.4e6, rel=0.03)


@pytest.mark.parametrize("costs", ALL)
def test_a_model_is_spread_over_as_few_cards_as_hold_some_agents(costs: Costs) -> None:
    assert costs.pool >= 400_000
    assert costs.cards == 1 or costs.pool < 3_000_000


def test_a_large_model_needs_more_cards_of_a_small_kind() -> None:
    assert [Costs(CARDS[card], MODELS["70b"]).cards for card in ("h200", "h100", "l40s")] == [
        4,
        4,
        8,
    ]


@given(
    tokens=st.integers(1, 50_000),
    before=st.integers(0, 200_000),
    decoding=st.integers(0, 200),
    more=st.integers(1, 5_000),
)
def test_more_to_do_takes_no_less_time(tokens: int, before: int, decoding: int, more: int) -> None:
    steps, context = (32 if decoding else 0), 50_000 * decoding
    took_s = CLOCK.steps_s(steps, decoding, context, [Chunk(tokens, before)])
    assert took_s <= CLOCK.steps_s(steps, decoding, context, [Chunk(tokens, before + more)])
    # One more step for a prompt splits it anew: its attention may then hide behind other reads.
    longer_s = CLOCK.steps_s(steps, decoding, context, [Chunk(tokens + more, before)])
    assert 0.99 * took_s <= longer_s
    assert took_s <= CLOCK.steps_s(32, decoding + 1, context + more, [Chunk(tokens, before)])


def test_attention_makes_a_prompt_twice_as_long_take_more_than_twice_the_time() -> None:
    assert CLOCK.prefill_s(160_000) > 2.5 * CLOCK.prefill_s(80_000)


def test_a_lone_sequence_reads_few_of_the_experts() -> None:
    model = MODELS["20b-moe"]
    assert model.read(1) < 0.4 * model.read(64) < model.weights
