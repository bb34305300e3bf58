"""Dialogues as tokens: batches of similar length, with weights for the loss."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from transformers import PreTrainedTokenizerFast

from models import dialogues
from models.dialogues import Dialogue, Segment, Stage
from models.tokenizer import ANSWER, CALL, ENDS, NUMBER, QUOTE

LONGEST = 3300  # tokens; what is longer is left out
_POOL = 400  # dialogues that are sorted by length before they are cut into batches
# Weights where a copy or a message starts, where it may end, and of the last token of a copy: the
# space after it in the source must not come along.
_START, _END, _LAST = 4.0, 2.0, 3.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens of a dialogue, and for each the number of its assistant's message, or 0."""

    tokens: list[int]
    owners: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and owners, both [samples, tokens]; owners are unique within the batch."""

    tokens: torch.Tensor
    owners: torch.Tensor


def encode(tokenizer: PreTrainedTokenizerFast, segments: list[Segment]) -> Sample:
    """The sample of one dialogue."""
    texts = [segment.text for segment in segments]
    encodings = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
    tokens: list[int] = []
    owners: list[int] = []
    for index, (segment, encoding) in enumerate(zip(segments, encodings, strict=True)):
        tokens += encoding.ids
        owners += [(index + 1) * segment.learn] * len(encoding.ids)
    return Sample(tokens, owners)


def samples(
    tokenizer: PreTrainedTokenizerFast, drawn: list[Dialogue]
) -> list[tuple[Dialogue, Sample]]:
    """Those of the dialogues that are short enough, with their samples."""
    pairs = [(dialogue, encode(tokenizer, dialogue.segments())) for dialogue in drawn]
    return [(dialogue, sample) for dialogue, sample in pairs if len(sample.tokens) <= LONGEST]


def batches(
    tokenizer: PreTrainedTokenizerFast, rng: Random, stage: Stage, size: int
) -> Iterator[Batch]:
    """Endless batches of at most so many tokens, padding included."""
    while True:
        pool = [
            sample
            for _, sample in samples(tokenizer, [dialogues.draw(rng, stage) for _ in range(_POOL)])
        ]
        pool.sort(key=lambda sample: len(sample.tokens))
        groups: list[list[Sample]] = [[]]
        for sample in pool:
            if groups[-1] and len(sample.tokens) * (len(groups[-1]) + 1) > size:
                groups.append([])
            groups[-1].append(sample)
        rng.shuffle(groups)
        for group in groups:
            yield _padded(group, tokenizer.pad_token_id)


def _padded(group: list[Sample], pad: int) -> Batch:
    """The samples side by side, filled up at the end."""
    width = max(len(sample.tokens) for sample in group)
    tokens = torch.full((len(group), width), pad)
    owners = torch.zeros((len(group), width), dtype=torch.long)
    for row, sample in enumerate(group):
        length = len(sample.tokens)
        tokens[row, :length] = torch.tensor(sample.tokens)
        # Messages of different samples must not share a number.
        owners[row, :length] = torch.tensor(sample.owners) * len(group)
        owners[row, :length] += row * (owners[row, :length] > 0)
    return Batch(tokens, owners)


class Weights:
    """How much each predicted token counts: more where a copy starts or ends."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._after = torch.ones(len(tokenizer))
        self._of = torch.ones(len(tokenizer))
        for text in (QUOTE, CALL, ANSWER, NUMBER, "\n", "<tool_call>", "</tool_call>"):
            self._after[_only(tokenizer, text)] = _START
        for text in ENDS:
            self._of[_only(tokenizer, text)] = _END

    def of(self, previous: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
        """Weights of tokens in the order of the text, given those before them."""
        ends = self._of[predicted]
        before_end = torch.where(ends.roll(-1) > 1, _LAST, 1.0)
        return torch.maximum(torch.maximum(self._after[previous], ends), before_end)


def _only(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """The one token that stands for the text."""
    (token,) = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return int(token)
