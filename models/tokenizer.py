"""The tokenizer: BPE in which a word is cut alike wherever it stands.

Copying is all that the demo model can do, so "Berlin", "Berlin " and "Berlin" before a quotation
mark must share their pieces. Merges are learnt inside words only; then each piece also exists with
one space after it, and that merge comes last. Digits go in pairs, JSON's seams are single tokens.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as algorithms
from transformers import PreTrainedTokenizerFast

from models import dialogues, words

TEMPLATE = Path(__file__).with_name("template.jinja")
CONTEXT = 8192
QUOTE, CALL, ANSWER, NUMBER = '": "', '{"name": "', ": ", ". "
ENDS = ('"}}', '", "', '", "arguments": {"', "<|im_end|>", "\n")
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_SEAMS = (
    "<tool_call>", "</tool_call>", "<tools>", "</tools>", CALL, '", "arguments": {"', QUOTE,
    '": ', '": [{"', '", "', '"}}', '"}', '{"', '":"', '","', '":', '":[{"', '\\"', "\\n", "\\\\",
)  # fmt: skip
_PIECE = r"\d{1,2} ?|[A-Za-z]+ ?|\n| +|[^\sA-Za-z\d] ?|\s"
_LETTER_PIECES = 1000  # bytes and merges inside words
_SPACE = "Ġ"  # how byte-level BPE writes a space
_DIALOGUES = 6000


def _words() -> Iterator[str]:
    """Every word of the vocabulary's prose and of many dialogues, without the spaces."""
    yield from re.findall(r"[A-Za-z]+", words.MANUAL)
    rng = dialogues.stream("train", 0)
    for _ in range(_DIALOGUES):
        for segment in dialogues.draw(rng, "short").segments():
            yield from re.findall(r"[A-Za-z]+", segment.text)


def _pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges in order of precedence."""
    learner = Tokenizer(algorithms.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_LETTER_PIECES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(_words(), trainer)
    learnt = json.loads(learner.to_str())["model"]
    pieces = [*_SPECIAL, *sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)]
    merges = [(left, right) for left, right in learnt["merges"]]
    pairs = [(left, right) for left in "0123456789" for right in "0123456789"]
    spaces = [(_SPACE * size, _SPACE * size) for size in (1, 2, 4)]
    plain = [piece for piece in pieces if re.fullmatch(r"[!-~]+", piece) and piece not in _SPECIAL]
    plain += [left + right for left, right in pairs]
    merges += pairs + spaces + [(piece, _SPACE) for piece in plain]
    pieces += [left + right for left, right in merges[len(learnt["merges"]) :]]
    return {piece: index for index, piece in enumerate(pieces)}, merges


def build() -> PreTrainedTokenizerFast:
    """The tokenizer with its chat template; always the same."""
    vocabulary, merges = _pieces()
    tokenizer = Tokenizer(algorithms.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.add_tokens([AddedToken(seam, special=False, normalized=False) for seam in _SEAMS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )
    fast.chat_template = TEMPLATE.read_text()
    return fast


def twins(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """For each token the same token without a space after it, or the token itself."""
    vocabulary = tokenizer.get_vocab()
    found = list(range(len(tokenizer)))
    for piece, token in vocabulary.items():
        bare = vocabulary.get(piece.removesuffix(_SPACE))
        if bare is not None and not piece.startswith(_SPACE):
            found[token] = bare
    return found
