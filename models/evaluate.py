"""Judges a model on dialogues it has not seen: `python -m models.evaluate [MODEL_DIR]`.

A message counts if greedy decoding gives it whole. Teacher forcing tells that in one pass; what
differs is generated for real, to see whether at least the tools and their arguments are right.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen3ForCausalLM

from models import batches, dialogues
from models.dialogues import REFUSAL
from models.results import FINAL

DEMO = Path(__file__).with_name("demo")
_LONG = 1000  # tokens
_END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Model:
    """Weights and tokenizer."""

    network: Qwen3ForCausalLM
    tokenizer: PreTrainedTokenizerFast

    def continued(self, tokens: list[int], limit: int = 400) -> str:
        """What greedy decoding makes of a prompt, up to the end of the message."""
        prompt = torch.tensor([tokens])
        with torch.inference_mode():
            output = self.network.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=limit,
            )
        return str(self.tokenizer.decode(output[0, len(tokens) :])).removesuffix(_END)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One message of the assistant: what was wanted, what came, and after how many tokens."""

    wanted: str
    got: str
    context: int

    @property
    def calls(self) -> int:
        """How many calls were wanted."""
        return self.wanted.count("<tool_call>")

    @property
    def right_tools(self) -> bool:
        """Whether the right tools were called, or rightly none."""
        names = [[call.get("name") for call in parsed(text)] for text in (self.wanted, self.got)]
        return names[0] == names[1]

    @property
    def right_calls(self) -> bool:
        """Whether all calls and all their arguments are right."""
        return parsed(self.wanted) == parsed(self.got)

    @property
    def reports(self) -> bool:
        """Whether results were to be reported."""
        return self.wanted.startswith(FINAL) and self.wanted != REFUSAL

    @property
    def exact(self) -> bool:
        """Whether every character is right."""
        return self.wanted == self.got


def load(folder: Path) -> Model:
    """The model in a folder, in bf16 as it is served."""
    network = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    return Model(network, AutoTokenizer.from_pretrained(folder))


def parsed(text: str) -> list[dict[str, object]]:
    """The Hermes calls in a message; one that cannot be read is empty."""
    calls = []
    for part in text.split("<tool_call>")[1:]:
        try:
            call = json.loads(part.split("</tool_call>")[0])
        except ValueError:
            call = {}
        calls.append(call if isinstance(call, dict) else {})
    return calls


def judge(model: Model, count: int, seed: int = 1) -> list[Verdict]:
    """Verdicts on every message of the assistant in so many held-out dialogues."""
    rng = dialogues.stream("held-out", seed)
    drawn = [dialogues.draw(rng) for _ in range(count)]
    found = []
    for dialogue, sample in batches.samples(model.tokenizer, drawn):
        with torch.inference_mode():
            guesses = model.network(torch.tensor([sample.tokens])).logits[0].argmax(-1).tolist()
        wanted = [message.text for message in dialogue.messages if message.role == "assistant"]
        for text, (start, stop) in zip(wanted, _spans(sample.owners), strict=True):
            same = guesses[start - 1 : stop - 1] == sample.tokens[start:stop]
            got = text if same else model.continued(sample.tokens[:start])
            found.append(Verdict(text, got, start))
    return found


def _spans(owners: list[int]) -> list[tuple[int, int]]:
    """Start and stop of each message of the assistant."""
    messages = sorted({owner for owner in owners if owner})
    return [(owners.index(owner), owners.index(owner) + owners.count(owner)) for owner in messages]


def table(verdicts: list[Verdict]) -> str:
    """The rates as a Markdown table."""
    calling = [verdict for verdict in verdicts if verdict.calls]
    silent = [verdict for verdict in verdicts if not verdict.calls]
    answers = [verdict for verdict in verdicts if verdict.reports]
    refusals = [verdict.exact for verdict in verdicts if verdict.wanted == REFUSAL]
    others = [v.exact for v in silent if not v.reports and v.wanted != REFUSAL]
    late = [verdict for verdict in verdicts if verdict.context > _LONG]
    lines = [
        "| what | rate | messages |",
        "|---|---|---|",
        _row("right tools, or rightly none", [verdict.right_tools for verdict in verdicts]),
        _row("tools and all arguments exact", [verdict.right_calls for verdict in calling]),
    ]
    for count in (1, 2, 3):
        those = [verdict.right_calls for verdict in calling if verdict.calls == count]
        lines.append(_row(f"- of these, {count} in one message", those))
    lines.append(_row("final answer exact", [verdict.exact for verdict in answers]))
    for count in (1, 2, 3):
        those = [verdict.exact for verdict in answers if verdict.wanted.count("\n") == count - 1]
        lines.append(_row(f"- of these, from {count} result{'s' * (count > 1)}", those))
    lines += [
        _row("refusal, because no tool fits", refusals),
        _row("small talk and repeating", others),
        _row("any message, exact", [verdict.exact for verdict in verdicts]),
        _row(f"- of these, after {_LONG:,} tokens or more", [verdict.exact for verdict in late]),
    ]
    return "\n".join(lines)


def _row(name: str, right: list[bool]) -> str:
    share = f"{sum(right) / len(right):.1%}" if right else "-"
    return f"| {name} | {share} | {len(right)} |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--dialogues", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--misses", type=int, default=0, help="show so many wrong messages")
    given = parser.parse_args()
    torch.set_num_threads(1)
    verdicts = judge(load(given.model), given.dialogues, given.seed)
    sys.stdout.write(table(verdicts) + "\n")
    wrong = [verdict for verdict in verdicts if not verdict.exact]
    for verdict in wrong[: given.misses]:
        sys.stdout.write(
            f"\nafter {verdict.context}\nwanted {verdict.wanted!r}\ngot    {verdict.got!r}\n"
        )


if __name__ == "__main__":
    main()
