"""Training: a seed decides every step, and attention in blocks is attention."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoTokenizer

from models import attention, train
from models.evaluate import DEMO
from models.train import Phase


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """Training sets these for its whole process."""
    threads = torch.get_num_threads()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fills


@pytest.mark.usefixtures("torch_as_it_was")
def test_a_seed_gives_the_same_weights_again(tmp_path: Path) -> None:
    words = AutoTokenizer.from_pretrained(DEMO)
    found = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train.train(words, tmp_path / name, seed, [Phase((("short", 1),), rate=1e-3)] * 2)
        found.append(load_file(tmp_path / name / "model.safetensors"))
    first, again, other = found
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_attention_in_blocks_is_causal_attention() -> None:
    shape = (2, 3, 300, 8)  # samples, heads, tokens, dimensions
    made = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(shape, generator=made) for _ in range(3))
    expected = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    found, _ = attention.attend(torch.nn.Identity(), query, key, value, None, scaling=8**-0.5)
    torch.testing.assert_close(found.transpose(1, 2), expected)
