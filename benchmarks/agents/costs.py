"""How long one engine step takes, and how many tokens the KV pool holds, on modelled cards.

A step is `overhead + max(weights / bandwidth, 2 * active parameters * tokens / compute) +
max(KV read / bandwidth, attention / compute)`. Peak figures are the vendor's data sheets'; the
shapes are the models' published configurations; what is marked so is assumed, not measured, and
`REACHED` has both.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_LINK_REACHED = 0.9  # of each card's speed, when several share a model; assumed, not measured
_MEMORY_SHARE = 0.9  # vLLM's default gpu_memory_utilization
_WORKSPACE = 3e9  # bytes a card for activations and graphs; assumed, not measured
_LEAST_POOL = 400_000  # tokens: a model is spread until the pool holds a few agents
_LARGEST_BATCH = 8192  # vLLM's default max_num_batched_tokens of its server


@dataclass(frozen=True, slots=True)
class Card:
    """One accelerator, by its data sheet."""

    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes per second."""
    compute: float
    """Dense bf16 operations per second."""


CARDS = {
    "h100": Card(85.5e9, 3.35e12, 989e12),  # H100 SXM5 80 GB (79.6 GiB usable)
    "h200": Card(150.7e9, 4.8e12, 989e12),  # H200 SXM 141 GB (140.4 GiB usable)
    "l40s": Card(47.7e9, 0.864e12, 362e12),  # L40S 48 GB (44.4 GiB usable)
}


@dataclass(frozen=True, slots=True)
class Model:
    """One model's shape."""

    weights: float
    """Bytes of all weights."""
    active: float
    """Parameters that one token uses."""
    full_layers: int
    """Layers that attend to the whole context; those with a sliding window cost next to nothing."""
    heads: int
    kv_heads: int
    head_size: int
    overhead_s: float
    """Host time and launches of a step, not overlapped; assumed, not measured."""
    experts: tuple[int, int] = (1, 1)
    """Of each layer, and of them used by one token."""
    expert_weights: float = 0.0
    """Bytes of all experts together."""

    @property
    def kv_bytes(self) -> int:
        """KV bytes per token, in bf16."""
        return 2 * 2 * self.full_layers * self.kv_heads * self.head_size

    def read(self, tokens: int) -> float:
        """Weight bytes that a step of so many tokens reads."""
        experts, used = self.experts
        touched = 1 - (1 - used / experts) ** tokens
        return self.weights - self.expert_weights * (1 - touched)


@dataclass(frozen=True, slots=True)
class Reached:
    """Shares of a card's peaks that a step reaches."""

    compute: float
    """By large matrix products."""
    attention: float
    """By a prompt's attention."""
    weights: float
    """Of the bandwidth, by reading weights."""
    kv: float
    """The same by reading the KV cache."""


REACHED = {
    "assumed": Reached(0.5, 0.4, 0.8, 0.8),
    # Llama-3.1-8B's shape on an H200 with vLLM 0.25.1 (docs/agents.md, "Measured on a GPU").
    "measured": Reached(0.65, 0.57, 0.93, 0.8),
    # The same where 130,000 tokens and more are attended to by one step of decoding.
    "measured-deep": Reached(0.65, 0.57, 0.93, 0.21),
}

MODELS = {
    # Llama-3.1-8B: bf16.
    "8b": Model(16.1e9, 8.0e9, 32, 32, 8, 128, 1.5e-3),
    # gpt-oss-20b: experts in mxfp4; every other of 24 layers has a window of 128 tokens.
    "20b-moe": Model(13.8e9, 3.6e9, 12, 64, 8, 64, 2e-3, experts=(32, 4), expert_weights=11.3e9),
    # Llama-3.1-70B: bf16.
    "70b": Model(141e9, 70.6e9, 80, 64, 8, 128, 3e-3),
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a prompt that one step computes: so many tokens behind those before."""

    tokens: int
    before: int


@dataclass(frozen=True, slots=True)
class Costs:
    """One model on as few cards (a power of two) as it needs."""

    card: Card
    model: Model
    share: float = 1.0
    """Of the pool: a smaller one is filled by fewer sessions."""
    reached: Reached = REACHED["assumed"]

    @property
    def cards(self) -> int:
        """How many cards share the model."""
        count = 1
        while self._room(count) < _LEAST_POOL * self.model.kv_bytes:
            count *= 2
        return count

    @property
    def pool(self) -> int:
        """Tokens that the KV cache holds."""
        return int(self.share * self._room(self.cards) / self.model.kv_bytes)

    def clock(self) -> "Clock":
        """The times of this deployment's steps."""
        return Clock(self)

    def _room(self, cards: int) -> float:
        return cards * (self.card.memory * _MEMORY_SHARE - _WORKSPACE) - self.model.weights


class Clock:
    """Step times of one deployment; what doesn't change is computed once."""

    def __init__(self, costs: Costs) -> None:
        cards, model = costs.cards, costs.model
        speed = cards * (1.0 if cards == 1 else _LINK_REACHED)
        self._model = model
        reached = costs.reached
        self._weights = costs.card.bandwidth * reached.weights * speed
        self._kv = costs.card.bandwidth * reached.kv * speed
        self._compute = costs.card.compute * reached.compute * speed
        self._attention = costs.card.compute * reached.attention * speed
        self._width = 4 * model.full_layers * model.heads * model.head_size

    def steps_s(self, steps: int, decoding: int, context: int, chunks: Iterable[Chunk]) -> float:
        """So many steps with `decoding` sequences over `context` tokens in all, the first of which
        compute the prompts' chunks on the way: as few as hold them, and at least those."""
        prefill = attention = read = 0.0
        for chunk in chunks:
            prefill += chunk.tokens
            attention += self._width * chunk.tokens * (chunk.before + chunk.tokens / 2)
            read += chunk.before + chunk.tokens
        heavy = math.ceil(prefill / _LARGEST_BATCH)
        total_s = max(steps - heavy, 0) * self._step_s(decoding, context, 0.0)
        if heavy:
            kv = context + read / heavy
            total_s += heavy * self._step_s(decoding + prefill / heavy, kv, attention / heavy)
        return total_s

    def prefill_s(self, tokens: int) -> float:
        """How long a prompt of so many tokens takes alone."""
        return self.steps_s(0, 0, 0, [Chunk(tokens, 0)])

    def _step_s(self, tokens: float, context: float, attention: float) -> float:
        model = self._model
        weights_s = model.read(max(int(tokens), 1)) / self._weights
        matrices_s = 2 * model.active * tokens / self._compute
        kv_s = context * model.kv_bytes / self._kv
        return (
            model.overhead_s
            + max(weights_s, matrices_s)
            + max(kv_s, attention / self._attention)  # decoding attends at the speed of its reads
        )
