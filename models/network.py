"""The network: a small Qwen3, and a start from which copying works before the first step.

Copying by induction takes hundreds of steps to emerge by itself. Here its circuit is written into
the first two layers: heads that fetch the one, two and three tokens before each token and the mean
of some ten, and a head that compares the last tokens with those before every earlier token.
Comparing three, not one, is what keeps 3748148 from turning into 3748148148. Training does the
rest.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from models import attention

_HIDDEN, _HEADS, _HEAD = 256, 4, 64
_THETA = 1e7
# Dimensions of the residual stream: a constant, whether a space follows, codes of the token itself
# and of the three before it, of the token after next where a copy stands, and of about the ten
# tokens before together.
_CONSTANT, _SPACED = 0, 1
_SELF = slice(2, 58)
_BEFORE = (slice(58, 106), slice(106, 146), slice(146, 178))
_AHEAD = slice(178, 224)
_AROUND = slice(224, 256)
_SLOW = 14  # rotary planes from here on hardly turn within 3,000 tokens
_FAST = slice(0, 4)  # planes that tell neighbouring positions apart
_BROAD = slice(4, 8)  # planes that see some ten positions as one
_FAR = 7  # how many tokens back the middle of those ten is
_NORM = 2.0  # of queries and keys: how sharp attention starts
_COPY = 3.0  # how strongly the match head speaks
_TOKEN_NORM2 = 1.12  # squared length of an embedding
_FETCHED_NORM2 = 3.7  # the same after the first layer


class Norm(torch.nn.RMSNorm):  # type: ignore[misc]  # torch is not checked here
    """Qwen3's norm in one operation and without leaving bf16: a fifth of the training time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises the last dimension."""
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def build(twins: Sequence[int], eos: int, pad: int, seed: int) -> Qwen3ForCausalLM:
    """A network with the copying circuit in place.

    Args:
        twins: for each token the same token without a space after it, or the token itself.
        eos: token that ends a message.
        pad: token that fills batches.
        seed: of the random weights.
    """
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(twins),
        hidden_size=_HIDDEN,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        head_dim=_HEAD,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": _THETA},
        tie_word_embeddings=True,
        eos_token_id=eos,
        pad_token_id=pad,
        bos_token_id=None,
    )
    network = Qwen3ForCausalLM(config)
    network.set_attn_implementation(attention.NAME)
    _replace_norms(network)
    with torch.no_grad():
        _write_codes(network.model.embed_tokens.weight, torch.tensor(twins))
        for layer in network.model.layers[:2]:
            layer.self_attn.q_norm.weight.fill_(_NORM)
            layer.self_attn.k_norm.weight.fill_(_NORM)
        fetch = network.model.layers[0].self_attn
        for head, target in enumerate(_BEFORE):
            _write_fetch(fetch, head, _FAST, distance=head + 1, target=target)
        _write_fetch(fetch, 3, _BROAD, distance=_FAR, target=_AROUND)
        match = network.model.layers[1].self_attn
        _write_match(match, head=0, skip=0, target=_SELF, gain=_COPY)
        _write_match(match, head=1, skip=1, target=_AHEAD, gain=1.0)
    return network


def _replace_norms(network: Qwen3ForCausalLM) -> None:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Qwen3RMSNorm):
                setattr(module, name, Norm(child.weight.shape, eps=child.variance_epsilon))


def _write_codes(embedding: torch.Tensor, twins: torch.Tensor) -> None:
    """Random codes; a token and the same with a space differ little, so that both match."""
    own = torch.arange(len(twins))
    spaced = twins != own
    codes = torch.randn(len(twins), _SELF.stop - _SELF.start)
    codes = codes / codes.norm(dim=1, keepdim=True)
    mixed = codes[twins] + 0.5 * codes
    codes = torch.where(spaced[:, None], mixed / mixed.norm(dim=1, keepdim=True), codes)
    embedding.normal_(0, 0.01)
    embedding[:, _SELF] = codes
    embedding[:, _CONSTANT] = 0.3
    embedding[:, _SPACED] = 0.15 * spaced


def _size(dimensions: slice) -> int:
    return int(dimensions.stop - dimensions.start)


def _write_fetch(
    attention: torch.nn.Module, head: int, planes: slice, *, distance: int, target: slice
) -> None:
    """A head that attends so many tokens back, and fetches the code of what stands there.

    Slower planes look less sharply: then it is the mean of the codes around there.
    """
    base = head * _HEAD
    rows = slice(base, base + _HEAD)
    query, key = attention.q_proj.weight, attention.k_proj.weight
    value, output = attention.v_proj.weight, attention.o_proj.weight
    query[rows], key[rows], value[rows] = 0, 0, 0
    output[:, rows] = 0
    for plane in range(planes.start, planes.stop):
        turn = distance * _THETA ** (-plane / (_HEAD // 2))
        query[base + plane, _CONSTANT] = 1.0
        key[base + plane, _CONSTANT] = math.cos(turn)
        key[base + plane + _HEAD // 2, _CONSTANT] = math.sin(turn)
    # A mean of many codes is short.
    gain = 2.5 if planes == _BROAD else 1.0
    scale = gain * math.sqrt(_TOKEN_NORM2 / _HIDDEN)
    source = slice(_SELF.start, _SELF.start + _size(target))
    value[base : base + _size(target), source] = torch.eye(_size(target)) * scale
    output[target, base : base + _size(target)] = torch.eye(_size(target))


def _write_match(
    attention: torch.nn.Module, *, head: int, skip: int, target: slice, gain: float
) -> None:
    """A head that looks where the last tokens stood before, and fetches what followed them.

    With skip 0 it fetches the next token, with skip 1 the one after: the end of a copy shows early.
    """
    base = head * _HEAD
    rows = slice(base, base + _HEAD)
    query, key = attention.q_proj.weight, attention.k_proj.weight
    value, output = attention.v_proj.weight, attention.o_proj.weight
    query[rows], key[rows], value[rows] = 0, 0, 0
    output[:, rows] = 0
    half = _HEAD // 2
    slow = torch.tensor([*range(_SLOW, half), *range(_SLOW + half, _HEAD)]) + base
    sought = (_SELF, *_BEFORE)
    pairs = [*zip((1.0, 0.8, 0.6), sought, _BEFORE[skip:], strict=False), (0.8, _AROUND, _AROUND)]
    for weight, mine, theirs in pairs:
        width = _size(theirs)
        mixing = weight * torch.randn(len(slow), width) / math.sqrt(width)
        query[slow, mine.start : mine.start + width] = mixing
        key[slow, theirs] = mixing
    width = _size(target)
    scale = gain * math.sqrt(_FETCHED_NORM2 / _HIDDEN)
    value[base : base + width, _SELF.start : _SELF.start + width] = torch.eye(width) * scale
    output[target, base : base + width] = torch.eye(width)
