"""How much context a GPU can hold: arithmetic, and nothing else.

What the model's config says is exact; the memory for activations is an estimate (see `margin`),
and so is everything that follows from it. vLLM measures it when it starts and says in its log how
many tokens its KV cache holds.
"""

from dataclasses import dataclass

GIB = 2**30

CUDA_BYTES = 1 * GIB
"""Estimate: the CUDA context, its libraries and a usual set of CUDA graphs, on each GPU."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model's config decides over memory."""

    layers: int
    """Layers that attend to the whole context."""
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocabulary: int
    dtype_bytes: int
    longest: int
    """Longest context the model was made for, in tokens."""
    weight_bytes: int
    sliding_layers: int = 0
    """Layers that keep the last `window` tokens only."""
    window: int = 0
    latent: int = 0
    """Numbers per token and layer of multi-head latent attention, which caches no heads; else 0."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a profile asks of each of its GPUs."""

    gpu_bytes: int
    utilization: float
    tensor_parallel: int = 1
    max_model_len: int = 0
    max_num_seqs: int = 256
    batched_tokens: int = 8192
    kv_dtype_bytes: float = 2
    kv_bytes: int | None = None
    """A KV cache of a fixed size, instead of what is left."""


def layer_token_bytes(shape: Shape, plan: Plan) -> float:
    """One token in one layer, on each GPU.

    KV heads are divided among the GPUs; where there are more GPUs than heads, each has one.
    """
    if shape.latent:
        return shape.latent * plan.kv_dtype_bytes
    heads = max(1.0, shape.kv_heads / plan.tensor_parallel)
    return 2 * heads * shape.head_dim * plan.kv_dtype_bytes  # 2: keys and values


def token_bytes(shape: Shape, plan: Plan) -> float:
    """What one more token of a context takes on each GPU, in all layers."""
    return (shape.layers + shape.sliding_layers) * layer_token_bytes(shape, plan)


def sequence_bytes(shape: Shape, plan: Plan, tokens: int) -> float:
    """A context of that many tokens, on each GPU; sliding layers stop at their window."""
    kept = shape.layers * tokens + shape.sliding_layers * min(tokens, shape.window)
    return kept * layer_token_bytes(shape, plan)


def weights(shape: Shape, plan: Plan) -> float:
    """The weights on each GPU."""
    return shape.weight_bytes / plan.tensor_parallel


def margin(shape: Shape, plan: Plan) -> float:
    """Estimate of what is neither weights nor KV cache, on each GPU.

    Activations of the largest step (the residual stream a few times over, and the MLP's inner
    layer twice), the logits of all sequences in float32, and CUDA's own.
    """
    per_token = 4 * shape.hidden + 2 * shape.intermediate / plan.tensor_parallel
    activations = plan.batched_tokens * per_token * shape.dtype_bytes
    logits = 4 * plan.max_num_seqs * shape.vocabulary
    return CUDA_BYTES + activations + logits


def budget(shape: Shape, plan: Plan) -> float:
    """What is left for the KV cache on each GPU; below 0 when the weights don't fit."""
    if plan.kv_bytes is not None:
        return plan.kv_bytes
    return plan.gpu_bytes * plan.utilization - weights(shape, plan) - margin(shape, plan)


def sequences(shape: Shape, plan: Plan, tokens: int) -> int:
    """Contexts of that many tokens that fit at once."""
    return max(0, int(budget(shape, plan) // sequence_bytes(shape, plan, tokens)))


def longest(shape: Shape, plan: Plan) -> int:
    """Tokens of the longest single context that fits."""
    each = layer_token_bytes(shape, plan)
    left = budget(shape, plan)
    if left <= 0:
        return 0
    everywhere = left / (each * (shape.layers + shape.sliding_layers))
    if not shape.sliding_layers or everywhere <= shape.window:
        return int(everywhere)
    beyond = left - each * shape.sliding_layers * shape.window
    return int(beyond / (each * shape.layers)) if shape.layers else shape.longest
