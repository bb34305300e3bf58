"""`python -m benchmarks tier`: where sessions find contexts that the KV cache had given up."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from benchmarks.commands import Command
from benchmarks.machine import describe
from benchmarks.tools_report import listing, table


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine; one that is `told` knows when its sessions return."""

    name: str
    host_memory_gib: float
    is_told: bool


VARIANTS = (
    Variant("no host memory", 0, is_told=True),
    Variant("host memory", 0.25, is_told=False),
    Variant("host memory, fetched before they return", 0.25, is_told=True),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The prompt tokens of all turns that return, by where they were found."""

    prompt: int
    at_hand: int
    """In the KV cache."""
    from_host: int

    @property
    def computed(self) -> int:
        """Found nowhere."""
        return self.prompt - self.at_hand - self.from_host


def markdown(found: Sequence[tuple[Variant, Found]], facts: dict[str, str]) -> str:
    """The report."""
    head = ["engine", "prompt tokens", "at hand", "in host memory", "computed"]
    lines = [[v.name, *map(str, (f.prompt, f.at_hand, f.from_host, f.computed))] for v, f in found]
    title = "# Where contexts are found that the KV cache had given up"
    return "\n\n".join([title, listing(facts), table(head, lines)]) + "\n"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, choices=(1, 2, 3), default=2, help="that return")
    parser.add_argument("--out", type=Path, help="stem of a .md and a .json; else it is printed")


def _main(args: argparse.Namespace) -> None:
    # Below, because it loads vLLM, which the other benchmarks' clients do without.
    from benchmarks.tier_play import BLOCKS, OTHERS, play

    found = []
    for variant in VARIANTS:
        found.append((variant, asyncio.run(play(variant, args.sessions))))
        sys.stderr.write(f"{variant.name}: done\n")
    facts = {
        **describe(),
        "engine": f"vLLM on the CPU with the demo model, a KV cache of {BLOCKS} blocks",
        "sessions": f"{args.sessions} return with a second turn; {OTHERS} others have had a turn "
        "between, and have pushed them out",
    }
    text = markdown(found, facts)
    if args.out is None:
        sys.stdout.write(text)
        return
    args.out.with_suffix(".md").write_text(text)
    rows = [asdict(variant) | asdict(each) for variant, each in found]
    data = msgspec.json.encode({"facts": facts, "rows": rows})
    args.out.with_suffix(".json").write_bytes(msgspec.json.format(data))


TIER = Command("tier", "contexts that come back from host memory", _configure, _main)
