"""`python -m benchmarks agents-live`: policies for agents, on running houses."""

import argparse
import asyncio
import shlex
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from benchmarks.agents.live_drive import drive
from benchmarks.agents.live_house import AMPLE, BLOCK, VARIANTS, house
from benchmarks.agents.live_load import Load
from benchmarks.agents.live_report import Row, agreements, markdown
from benchmarks.commands import Command, positive
from benchmarks.machine import describe
from benchmarks.streaming import in_turn

_BLOCKS = 250
_QUICK = Load(sessions=6, live=6, requests=3)
_QUICK_BLOCKS = 90


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark; the pool holds so many blocks."""

    load: Load
    blocks: int
    reps: int
    out: Path


def run(options: Options) -> list[Row]:
    """Every variant in every repetition, in an order that turns.

    All houses are started first and stay: what they have learned stays too, as in a service. The
    ample pool is asked once, for what it says is the same each time.
    """
    rows = []
    by_name = {variant.name: variant for variant in VARIANTS}
    with ExitStack() as houses:
        urls = {}
        for variant in VARIANTS:
            urls[variant] = houses.enter_context(house(variant, options.load, options.blocks))
            sys.stderr.write(f"{variant.name} is ready\n")
        for repetition in range(options.reps):
            load = replace(options.load, seed=options.load.seed + repetition)
            for name in in_turn([variant.name for variant in VARIANTS], repetition):
                variant = by_name[name]
                if variant == AMPLE and repetition:
                    continue
                outcome = asyncio.run(drive(urls[variant], load))
                rows.append(Row(variant.name, repetition, outcome))
                sys.stderr.write(
                    f"{repetition} {variant.name}: {outcome.cached_share:.3f} cached, "
                    f"{outcome.computed} tokens computed, {outcome.took_s:.0f} s\n"
                )
    return rows


def _facts(options: Options) -> dict[str, str]:
    load = options.load
    return {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "workload": f"{load.sessions} sessions, {load.live} at once, {load.requests} requests each "
        f"on the mean; a tool call in each, log-normal, at most {load.longest_s:g} s",
        "pool": f"{options.blocks} blocks of {BLOCK} tokens",
        "repetitions": f"{options.reps}, each with other sessions; all variants get the same",
        "path": "HTTP, the real gateway, vLLM on the CPU with the demo model, the real tools "
        "service; its tools sleep",
    }


def _configure(parser: argparse.ArgumentParser) -> None:
    default = Load()
    parser.add_argument("--sessions", type=positive, default=default.sessions)
    parser.add_argument("--live", type=positive, default=default.live, help="sessions at once")
    parser.add_argument(
        "--blocks", type=positive, default=_BLOCKS, help=f"of {BLOCK} tokens, in the pool"
    )
    parser.add_argument("--reps", type=positive, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of the first repetition")
    parser.add_argument("--quick", action="store_true", help="a smoke test, with a load of its own")
    parser.add_argument("--out", type=Path, default=Path("agents_live"), help="stem: .md and .json")


def _main(args: argparse.Namespace) -> None:
    load = Load(sessions=args.sessions, live=args.live, seed=args.seed)
    options = Options(load, args.blocks, args.reps, args.out)
    if args.quick:
        options = Options(replace(_QUICK, seed=args.seed), _QUICK_BLOCKS, 1, args.out)
    facts = _facts(options)
    rows = run(options)
    report = {"facts": facts, "rows": rows, "agreements": agreements(rows)}
    json = msgspec.json.format(msgspec.json.encode(report))
    args.out.with_suffix(".json").write_bytes(json)
    args.out.with_suffix(".md").write_text(markdown(rows, facts))
    sys.stdout.write(markdown(rows, facts))


AGENTS_LIVE = Command("agents-live", "policies for agents, on a running house", _configure, _main)
