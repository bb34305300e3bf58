"""Trains the demo model from nothing: `python -m models.train OUT --seed 1`.

One thread and a budget in steps, so that a seed gives the same model again on the same machine.
"""

import argparse
import logging
import time
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
_REPORT, _SAVE, _WARMUP = 50, 500, 60  # steps
_BATCH = 3000  # tokens, padding included


@dataclass(frozen=True, slots=True)
class Phase:
    """Dialogues of some stages, so many steps of each, and the learning rate over all of them.

    The rate reaches its least at the horizon, which may lie beyond the last step.
    """

    stages: tuple[tuple[Stage, int], ...]
    rate: float
    horizon: int
    last: float = 1.0  # weight of the last token of a copy

    @property
    def steps(self) -> int:
        """All steps of the phase."""
        return sum(steps for _, steps in self.stages)

    def rate_at(self, step: int) -> float:
        """The learning rate: a short rise, a plateau, and a long straight fall."""
        left = 1 - step / self.horizon
        return self.rate * min(1.0, (step + 1) / _WARMUP, max(0.02, left / 0.7))


PHASES = (
    Phase((("short", 1000), ("unrelated", 1000)), rate=2e-3, horizon=3600),
    Phase((("full", 2200),), rate=1.5e-3, horizon=2200),
    Phase((("full", 1000),), rate=7e-4, horizon=1000, last=4.0),
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


def train(out: Path, seed: int) -> None:
    """Builds the tokenizer, trains the network, and writes both to a folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    words = tokenizer.build()
    model = network.build(tokenizer.twins(words), words.eos_token_id, words.pad_token_id, seed)
    logger.info("%d parameters, %d tokens", model.num_parameters(), len(words))
    for number, phase in enumerate(PHASES):
        rng = dialogues.stream("train", seed + 1000 * number)
        learn(model, words, phase, rng, out)


def learn(
    model: Qwen3ForCausalLM, words: PreTrainedTokenizerFast, phase: Phase, rng: Random, out: Path
) -> None:
    """Goes through one phase; at its end the weights in memory are those in the folder."""
    trainer = Trainer(model, Weights(words, phase.last), phase)
    tally = Tally()
    drawn = chain.from_iterable(
        islice(batches(words, rng, stage, _BATCH), steps) for stage, steps in phase.stages
    )
    for step, batch in enumerate(drawn, 1):
        trainer.step(step - 1, batch, tally)
        if step % _REPORT == 0:
            used_s = time.process_time()
            logger.info("step %d of %d  %.0f s  %s", step, phase.steps, used_s, tally.line())
            tally = Tally()
        if step % _SAVE == 0:
            save(model, words, out)
    model.load_state_dict(save(model, words, out).state_dict())


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
    train(given.out, given.seed)


if __name__ == "__main__":
    main()
