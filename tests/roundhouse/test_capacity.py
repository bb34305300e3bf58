"""How much context fits: known models by hand, and what must hold for all of them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from roundhouse.capacity import (
    GIB,
    Plan,
    Shape,
    budget,
    longest,
    sequence_bytes,
    sequences,
    token_bytes,
)

QWEN3_8B = Shape(
    layers=36,
    heads=32,
    kv_heads=8,
    head_dim=128,
    hidden=4096,
    intermediate=12_288,
    vocabulary=151_936,
    dtype_bytes=2,
    longest=40_960,
    weight_bytes=16_381_470_720,
)
H100 = Plan(gpu_bytes=80 * GIB, utilization=0.9, max_model_len=32_768)

shapes = st.builds(
    Shape,
    layers=st.integers(1, 100),
    heads=st.just(64),
    kv_heads=st.sampled_from([1, 2, 4, 8, 64]),
    head_dim=st.sampled_from([64, 128, 256]),
    hidden=st.integers(256, 16_384),
    intermediate=st.integers(256, 65_536),
    vocabulary=st.integers(1000, 300_000),
    dtype_bytes=st.sampled_from([1, 2, 4]),
    longest=st.just(131_072),
    weight_bytes=st.integers(0, 400 * GIB),
    sliding_layers=st.integers(0, 100),
    window=st.integers(1, 8192),
    latent=st.sampled_from([0, 576]),
)
plans = st.builds(
    Plan,
    gpu_bytes=st.integers(0, 300 * GIB),
    utilization=st.floats(0.05, 1),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    max_num_seqs=st.integers(1, 2048),
    batched_tokens=st.integers(512, 65_536),
    kv_dtype_bytes=st.sampled_from([0.5, 1, 2]),
)
tokens = st.integers(1, 1_000_000)


def test_a_token_of_qwen3_8b_takes_144_kib() -> None:
    assert token_bytes(QWEN3_8B, H100) == 2 * 36 * 8 * 128 * 2 == 144 * 1024


def test_eight_bits_and_two_gpus_each_halve_a_token() -> None:
    assert token_bytes(QWEN3_8B, replace(H100, kv_dtype_bytes=1)) == 72 * 1024
    assert token_bytes(QWEN3_8B, replace(H100, tensor_parallel=2)) == 72 * 1024


def test_more_gpus_than_kv_heads_save_no_further_cache() -> None:
    eight, sixteen = (token_bytes(QWEN3_8B, replace(H100, tensor_parallel=n)) for n in (8, 16))
    assert eight == sixteen


def test_latent_attention_caches_one_vector_which_no_gpu_is_spared() -> None:
    shape = replace(QWEN3_8B, layers=61, latent=576)
    assert token_bytes(shape, replace(H100, tensor_parallel=8)) == 61 * 576 * 2


def test_a_cache_of_fixed_size_needs_no_estimate() -> None:
    plan = replace(H100, gpu_bytes=0, kv_bytes=GIB)
    assert budget(QWEN3_8B, plan) == GIB
    assert longest(QWEN3_8B, plan) == GIB // (144 * 1024)
    assert sequences(QWEN3_8B, plan, 1024) == 7


def test_sliding_layers_stop_at_their_window() -> None:
    shape = replace(QWEN3_8B, layers=18, sliding_layers=18, window=1024)
    each = token_bytes(QWEN3_8B, H100)
    assert sequence_bytes(shape, H100, 1000) == 1000 * each
    assert sequence_bytes(shape, H100, 3072) == (3072 + 1024) * each / 2


@given(shapes, plans, st.integers(1, 100) | st.floats(0, 1))
def test_a_larger_gpu_never_holds_less(shape: Shape, plan: Plan, more: float) -> None:
    larger = replace(plan, gpu_bytes=plan.gpu_bytes + int(more * GIB))
    assert budget(shape, larger) >= budget(shape, plan)
    assert longest(shape, larger) >= longest(shape, plan)


@given(shapes, plans, tokens, tokens)
def test_longer_contexts_never_fit_more_often(shape: Shape, plan: Plan, a: int, b: int) -> None:
    short, long = sorted((a, b))
    assert sequence_bytes(shape, plan, short) <= sequence_bytes(shape, plan, long)
    assert sequences(shape, plan, short) >= sequences(shape, plan, long)


@given(shapes, plans, st.sampled_from(["weight_bytes", "vocabulary", "hidden"]))
def test_a_larger_model_never_leaves_more(shape: Shape, plan: Plan, part: str) -> None:
    larger = replace(shape, **{part: getattr(shape, part) + 1000})
    assert budget(larger, plan) <= budget(shape, plan)


@given(shapes, plans)
def test_more_gpus_never_hold_less(shape: Shape, plan: Plan) -> None:
    more = replace(plan, tensor_parallel=2 * plan.tensor_parallel)
    assert budget(shape, more) >= budget(shape, plan)
    assert longest(shape, more) >= longest(shape, plan)


@given(shapes, plans)
def test_the_longest_context_fits_and_one_that_is_much_longer_does_not(
    shape: Shape, plan: Plan
) -> None:
    most = longest(shape, plan)
    if most:
        assert sequence_bytes(shape, plan, most) <= budget(shape, plan) * (1 + 1e-9)
    longer = sequence_bytes(shape, plan, most + 2)
    assert longer > budget(shape, plan) or sequences(shape, plan, most + 2) == 0
