"""Trains the demo model from nothing: `python -m models.train OUT --seed 1`.

One thread and a budget in steps, so that a seed gives the same model again on the same machine.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from random import Random

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from models import dialogues, network, tokenizer
from models.batches import Batch, Weights, batches
from models.dialogues import Stage

logger = logging.getLogger(__name__)
_REPORT, _WARMUP = 50, 60  # steps
_BATCH = 3000  # tokens, padding included


@dataclass(frozen=True, slots=True)
class Phase:
    """Dialogues of some stages, so many steps of each, and the learning rate over all of them."""

    stages: tuple[tuple[Stage, int], ...]
    rate: float

    @property
    def steps(self) -> int:
        """All steps of the phase."""
        return sum(steps for _, steps in self.stages)

    def rate_at(self, step: int) -> float:
        """The learning rate: a short rise, a plateau, and a long straight fall nearly to zero."""
        left = 1 - step / self.steps
        return self.rate * min(1.0, (step + 1) / _WARMUP, max(0.01, left / 0.7))


PHASES = (
    Phase((("short", 600), ("unrelated", 700), ("many", 3300), ("full", 2900)), rate=2e-3),
    Phase((("many", 700), ("full", 500)), rate=8e-4),
)


@dataclass(slots=True)
class Tally:
    """Sums since the last report; every dialogue is new, so these rates are not flattered."""

    steps: int = 0
    loss: float = 0.0
    tokens: int = 0
    right: int = 0
    messages: int = 0
    exact: int = 0

    def line(self) -> str:
        """The rates as text."""
        return (
            f"loss {self.loss / self.steps:.4f}  token accuracy {self.right / self.tokens:.4f}  "
            f"whole messages right {self.exact / self.messages:.3f}"
        )


class Trainer:
    """Optimiser, weights of the loss, and the step."""

    def __init__(self, model: Qwen3ForCausalLM, weights: Weights, phase: Phase) -> None:
        self._model = model
        self._weights = weights
        self._phase = phase
        matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
        others = [weight for weight in model.parameters() if weight.ndim < 2]
        others.append(model.get_input_embeddings().weight)
        # Muon needs half the steps that AdamW alone takes to pick what to copy.
        self._optimizers = (
            torch.optim.Muon(matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0),
        )

    def step(self, index: int, batch: Batch, tally: Tally) -> None:
        """Learns from one batch."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = self._phase.rate_at(index)
        learnt = batch.owners[:, 1:] > 0
        previous, wanted = batch.tokens[:, :-1][learnt], batch.tokens[:, 1:][learnt]
        embedded = self._model.get_input_embeddings()(batch.tokens[:, :-1]).to(torch.bfloat16)
        with torch.autocast("cpu", torch.bfloat16):
            output = self._model.model(inputs_embeds=embedded, use_cache=False)
            hidden = output.last_hidden_state
            logits = self._model.lm_head(hidden[learnt])
        weights = self._weights.of(previous, wanted)
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        wrong = logits.argmax(-1) != wanted
        owners = batch.owners[:, 1:][learnt]
        tally.steps += 1
        tally.loss += loss.item()
        tally.tokens += len(wanted)
        tally.right += len(wanted) - int(wrong.sum())
        messages = len(owners.unique())
        tally.messages += messages
        tally.exact += messages - len(owners[wrong].unique())


def train(
    words: PreTrainedTokenizerFast, out: Path, seed: int, phases: Sequence[Phase] = PHASES
) -> None:
    """Trains a network from its start, and writes it and the tokenizer to a folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads memory before it is written, and filling it first takes time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    model = network.build(tokenizer.twins(words), words.eos_token_id, words.pad_token_id, seed)
    logger.info("%d parameters, %d tokens", model.num_parameters(), len(words))
    for number, phase in enumerate(phases):
        learn(model, words, phase, dialogues.stream("train", seed + 1000 * number))
        model.load_state_dict(save(model, words, out).state_dict())


def learn(
    model: Qwen3ForCausalLM, words: PreTrainedTokenizerFast, phase: Phase, rng: Random
) -> None:
    """Goes through one phase."""
    trainer = Trainer(model, Weights(words), phase)
    drawn = chain.from_iterable(
        islice(batches(words, rng, stage, _BATCH), steps) for stage, steps in phase.stages
    )
    tally = Tally()
    for step, batch in enumerate(drawn, 1):
        trainer.step(step - 1, batch, tally)
        if step % _REPORT == 0:
            used_s = time.process_time()
            logger.info("step %d of %d  %.0f s  %s", step, phase.steps, used_s, tally.line())
            tally = Tally()


def save(model: Qwen3ForCausalLM, words: PreTrainedTokenizerFast, out: Path) -> Qwen3ForCausalLM:
    """Writes weights in bf16, configuration, tokenizer and chat template; returns what it wrote."""
    copy = deepcopy(model).to(torch.bfloat16)
    copy.generation_config.do_sample = False
    copy.save_pretrained(out)
    words.save_pretrained(out)
    return copy


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the model")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(tokenizer.build(), given.out, given.seed)


if __name__ == "__main__":
    main()
