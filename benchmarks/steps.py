"""`python -m benchmarks steps`: how long an engine's steps take on the card that is here.

The clock of `benchmarks/agents/costs.py` is a model; this tells how far it is from a real card.
"""

import argparse
import asyncio
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.agents.costs import CARDS, MODELS, REACHED, Chunk, Clock, Costs
from benchmarks.commands import Command, positive, publish
from benchmarks.machine import describe
from benchmarks.tools_report import listing, table
from benchmarks.variants import ROOT

WRITTEN = 400
"""Tokens that each sequence of a batch writes; a context grows by half of them in the mean."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of so many tokens, behind others that the cache holds."""

    tokens: int
    before: int = 0

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens" + f" behind {self.before:,}" * bool(self.before)

    def modelled_s(self, clock: Clock) -> float:
        """What the clock says."""
        return clock.steps_s(0, 0, 0, [Chunk(self.tokens, self.before)])


@dataclass(frozen=True, slots=True)
class Batch:
    """So many sequences that decode, each over a context of about so many tokens."""

    sequences: int
    context: int

    def __str__(self) -> str:
        return f"{self.sequences} x {self.context:,} tokens"

    def modelled_s(self, clock: Clock) -> float:
        """What the clock says."""
        return clock.steps_s(1, self.sequences, self.sequences * self.context, [])


@dataclass(frozen=True, slots=True)
class Nap:
    """How long it took to put an engine to sleep and to wake it, and whether it is the same."""

    sleep_s: float
    wake_s: float
    first_token_s: float
    is_same: bool
    """Whether it answers as before."""


@dataclass(frozen=True, slots=True)
class Timed:
    """All that was measured; the times of prompts are medians."""

    prompts: Sequence[tuple[Prompt, float]]
    batches: Sequence[tuple[Batch, float]]
    naps: Sequence[Nap]


def markdown(timed: Timed, facts: dict[str, str], clock: Clock | None) -> str:
    """The report; `clock` is the modelled engine to compare with."""
    parts = ["# The steps of an engine", listing(facts)]
    for title, rows in (("Prompts", timed.prompts), ("Decoding", timed.batches)):
        lines = []
        for what, took_s in rows:
            modelled = [] if clock is None else [_against(what.modelled_s(clock), took_s)]
            lines.append([str(what), f"{took_s * 1000:.1f}", *modelled])
        head = ["", "ms", *(["modelled, ms (over measured)"] if clock else [])]
        parts += [f"## {title}", table(head, lines)]
    if timed.naps:
        naps = [
            [f"{n.sleep_s:.2f}", f"{n.wake_s:.2f}", f"{n.first_token_s:.3f}", _yes(n.is_same)]
            for n in timed.naps
        ]
        head = ["sleep, s", "wake, s", "first token after it, s", "the same answer"]
        parts += ["## Sleep", table(head, naps)]
    return "\n\n".join(parts) + "\n"


def _against(modelled_s: float, took_s: float) -> str:
    return f"{modelled_s * 1000:.1f} ({modelled_s / took_s:.2f})"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default=str(ROOT / "models" / "demo"), help="a folder or a hub id")
    add("--args", type=_mapping, default={}, help="arguments for vLLM, as a JSON object")
    add("--kv-cache-gib", type=_gib, default=0.25, help="of the engine")
    add("--max-model-len", type=positive, help="of the engine; the model's by default")
    add(
        "--prompts", type=_prompts, default="64,256,256@512", help="list of TOKENS or TOKENS@BEFORE"
    )
    add("--decode", type=_batches, default="1x256,4x256", help="list of SEQUENCESxTOKENS")
    add("--sleep", action="store_true", help="put it to sleep, too, and wake it")
    add("--against", type=_modelled, metavar="CARD:MODEL", help="as `agents` models it: h200:8b")
    add("--reached", choices=REACHED, help="its shares of the card's peaks; assumed by default")
    add("--out", type=Path, help="FILE.md; standard output if absent")


def _mapping(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(
            f'{text}: say an object, as in \'{{"dtype": "bfloat16"}}\''
        )
    return found


def _prompts(text: str) -> list[Prompt]:
    pairs = (part.partition("@") for part in text.split(","))
    return [Prompt(positive(own), positive(before) if sign else 0) for own, sign, before in pairs]


def _batches(text: str) -> list[Batch]:
    return [_batch(part) for part in text.split(",")]


def _batch(text: str) -> Batch:
    sequences, sign, context = text.partition("x")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text}: say SEQUENCESxTOKENS, as in 16x2000")
    batch = Batch(positive(sequences), positive(context))
    if batch.context <= WRITTEN // 2:
        raise argparse.ArgumentTypeError(
            f"{text}: each writes {WRITTEN} tokens; give contexts of more than {WRITTEN // 2}"
        )
    return batch


def _gib(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: say GiB, above 0")
    return size


def _modelled(text: str) -> tuple[str, str]:
    card, _, model = text.partition(":")
    if card not in CARDS or model not in MODELS:
        known = f"one of {', '.join(CARDS)}, and one of {', '.join(MODELS)}"
        raise argparse.ArgumentTypeError(f"{text}: say CARD:MODEL, {known}")
    return card, model


def _main(args: argparse.Namespace) -> None:
    if args.reached and not args.against:
        raise SystemExit("--reached is of a modelled engine; say which with --against")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # the report goes to stdout
    # Below, because they load vLLM, which the other benchmarks' clients do without.
    from benchmarks.steps_play import Asked, NoRoomError, play
    from engine.errors import EngineError

    asked = Asked(args.model, args.args, args.kv_cache_gib, args.max_model_len, sleeps=args.sleep)
    try:
        timed, device = asyncio.run(play(asked, args.prompts, args.decode))
    except (NoRoomError, EngineError) as error:
        raise SystemExit(str(error)) from None
    clock = None
    facts = {
        **describe(),
        "device": device,
        "model": args.model,
        "vLLM's arguments": str(args.args),
    }
    if args.against:
        card, model = args.against
        reached = args.reached or "assumed"
        costs = Costs(CARDS[card], MODELS[model], reached=REACHED[reached])
        clock = costs.clock()
        facts["modelled"] = f"{model} on {costs.cards} x {card}, shares of its peaks {reached}"
    text = markdown(timed, facts, clock)
    publish(text, args.out)


STEPS = Command("steps", "an engine's steps and sleep on this machine's card", _configure, _main)
