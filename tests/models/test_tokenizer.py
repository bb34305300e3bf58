"""The tokenizer: it is rebuilt alike, loses nothing, and cuts a word alike wherever it stands."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models import dialogues, tokenizer
from models.evaluate import DEMO


@pytest.fixture(scope="module")
def demo() -> PreTrainedTokenizerFast:
    """The shipped tokenizer."""
    return AutoTokenizer.from_pretrained(DEMO)


def pieces(demo: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The text as it is cut."""
    return [demo.decode([token]) for token in demo.encode(text, add_special_tokens=False)]


def test_generated_dialogues_survive_encoding(demo: PreTrainedTokenizerFast) -> None:
    rng = dialogues.stream("held-out", 8)
    for _ in range(200):
        text = "".join(segment.text for segment in dialogues.draw(rng).segments())
        assert demo.decode(demo.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize(
    "text", ["Zürich, 20 °C", "日本語 🙂", '  {"a":\t"\\"b\\\\"}\n\n', "", " "]
)
def test_any_text_survives_encoding(demo: PreTrainedTokenizerFast, text: str) -> None:
    assert demo.decode(demo.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("word", ["Berlin", "Lovelace", "vLLM", "3748148", "Zürich", "tower"])
def test_a_word_is_cut_alike_with_and_without_a_space_after_it(
    demo: PreTrainedTokenizerFast, word: str
) -> None:
    bare = pieces(demo, word)
    assert pieces(demo, f"{word} ")[: len(bare) - 1] == bare[:-1]
    assert pieces(demo, f"{word} is")[len(bare) - 1].rstrip() == bare[-1]
    assert pieces(demo, f'"query": "{word}"}}}}')[-len(bare) - 1 : -1] == bare


def test_every_token_with_a_space_has_its_twin(demo: PreTrainedTokenizerFast) -> None:
    found = tokenizer.twins(demo)
    spaced = [token for token, twin in enumerate(found) if token != twin]
    assert len(spaced) > 500
    for token in spaced:
        assert demo.decode([token]) == demo.decode([found[token]]) + " "


def test_the_shipped_tokenizer_can_be_rebuilt(demo: PreTrainedTokenizerFast) -> None:
    assert tokenizer.build().get_vocab() == demo.get_vocab()


def test_the_next_prompt_goes_on_from_the_tokens_of_the_last_answer(
    demo: PreTrainedTokenizerFast,
) -> None:
    """Otherwise the KV cache of a session would be of no use after a tool call."""
    rng = dialogues.stream("held-out", 9)
    for _ in range(200):
        texts = [segment.text for segment in dialogues.draw(rng).segments()]
        apart = [token for text in texts for token in demo.encode(text, add_special_tokens=False)]
        assert apart == demo.encode("".join(texts), add_special_tokens=False)
