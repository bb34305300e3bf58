"""The tool schedule on a running service: policies in turn, against the same turns simulated."""

import argparse
import asyncio
import itertools
import shlex
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from benchmarks.commands import Command
from benchmarks.machine import describe
from benchmarks.streaming import in_turn
from benchmarks.tools_drive import drive, measured
from benchmarks.tools_hosting import hosted
from benchmarks.tools_report import FIGURES, MEAN, listing, table
from benchmarks.tools_workload import LONGEST_S, Load, Turn, trace
from benchmarks.tools_world import Outcome, Variant, simulate

_DROPPED = 0.1
_NOTE = (
    "Milliseconds, means over the repetitions, ratios as mean (min..max). `simulated`: the same "
    "turns with the run times that the service measured; `as planned`: with those it was told."
)
_POLICIES = {name: Variant(name, name, reserve=None) for name in ("fifo", "sjf", "group")}


@dataclass(frozen=True, slots=True)
class Row:
    """One policy in one repetition: what the service did, and what the simulation says.

    `simulated` is given the run times that the service measured, `planned` those it was asked for:
    between them lies what the machine did to the sleepers.
    """

    policy: str
    repetition: int
    live: Outcome
    simulated: Outcome
    planned: Outcome


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark."""

    load: Load
    reps: int
    out: Path


def run(options: Options) -> list[Row]:
    """Every policy in every repetition, each on a fresh service with an empty table."""
    rows = []
    for repetition in range(options.reps):
        turns = trace(replace(options.load, seed=options.load.seed + repetition))
        for policy in in_turn(list(_POLICIES), repetition):
            rows.append(row := _measure(policy, repetition, turns, options.load))
            sys.stderr.write(
                f"{repetition} {policy}: turn {row.live.turn_mean_s:.3f} s, "
                f"simulated {row.simulated.turn_mean_s:.3f} s\n"
            )
    return rows


def _measure(policy: str, repetition: int, turns: Sequence[Turn], load: Load) -> Row:
    with sleeping(policy, load) as url:
        played = asyncio.run(drive(url, turns))
    simulated, planned = (
        simulate(
            found,
            _POLICIES[policy],
            slots=load.slots,
            longest_s=LONGEST_S * load.pace,
            dropped=_DROPPED,
        )
        for found in ([one.turn for one in played], turns)
    )
    return Row(policy, repetition, measured(played, _DROPPED), simulated, planned)


@contextmanager
def sleeping(policy: str, load: Load) -> Iterator[str]:
    """A service of tools that sleep, in a process of its own; gives its URL."""
    settings: dict[str, object] = {"port": 0, "policy": policy, "slots": load.slots}
    # The simulation knows no second attempts.
    settings |= {"hedge": {"share": 0}}
    settings |= {"waiting": 100_000, "queue_s": 3600, "timeout_floor_s": 3600, "timeout_s": 3600}
    command = [sys.executable, "-m", "benchmarks.tools_sleepers"]
    with hosted(command, msgspec.json.encode(settings).decode()) as (url, _):
        yield url


def markdown(rows: Sequence[Row], facts: dict[str, str]) -> str:
    """The whole report."""
    parts = ["# Which waiting tool call goes first, on a running service", listing(facts)]
    parts.append(_NOTE)
    lines = []
    for policy in _POLICIES:
        own = [row for row in rows if row.policy == policy]
        shares = [row.live.turn_mean_s / row.simulated.turn_mean_s for row in own]
        cells = [
            f"{1000 * statistics.fmean(pick(outcome) for outcome in outcomes):.0f}"
            for pick in (MEAN, FIGURES["wait mean"], FIGURES["longest wait"])
            for outcomes in zip(
                *((row.live, row.simulated, row.planned) for row in own), strict=True
            )
        ]
        spread = f"{statistics.fmean(shares):.2f} ({min(shares):.2f}..{max(shares):.2f})"
        lines.append([policy, *cells, spread])
    head = ["policy"]
    for name in ("turn mean", "wait mean", "longest wait"):
        head += [name, "simulated", "as planned"]
    head.append("turn live / simulated")
    parts.append(table(head, lines))
    parts.append(_order(rows))
    return "\n\n".join(parts) + "\n"


def _agree(live: float, simulated: float) -> bool:
    """They do not say the opposite; below 2 % nobody says anything."""
    signs = [0 if abs(ratio - 1) < 0.02 else ratio - 1 for ratio in (live, simulated)]
    return signs[0] * signs[1] >= 0


def _order(rows: Sequence[Row]) -> str:
    """Policies two by two, and in how many repetitions both say which is faster, beyond 2 %."""
    repetitions = sorted({row.repetition for row in rows})
    cells = {(row.policy, row.repetition): row for row in rows}
    lines = []
    for one, two in itertools.combinations(_POLICIES, 2):
        pairs = [(cells[one, rep], cells[two, rep]) for rep in repetitions]
        live = [MEAN(a.live) / MEAN(b.live) for a, b in pairs]
        simulated = [MEAN(a.simulated) / MEAN(b.simulated) for a, b in pairs]
        agreed = sum(map(_agree, live, simulated))
        ratios = (f"{statistics.fmean(found):.2f}" for found in (live, simulated))
        lines.append([f"{one} / {two}", *ratios, f"{agreed} of {len(pairs)}"])
    return table(["turn mean", "live", "simulated", "same order"], lines)


def _facts(options: Options) -> dict[str, str]:
    load = options.load
    return {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "workload": f"{load.turns} turns, load {load.share:g} of {load.slots} slots, times of the "
        f"simulation's workload x {load.pace:g}; the first tenth not counted",
        "repetitions": f"{options.reps}, each with other turns; all policies get the same",
        "path": "gateway's MCP client, loopback, the real service; the tools sleep",
    }


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", type=float, default=0.95)
    parser.add_argument("--turns", type=int, default=600)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--pace", type=float, default=0.1, help="of the simulation's run times")
    parser.add_argument("--reps", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1, help="of the first repetition")
    parser.add_argument("--out", type=Path, default=Path("tools_live"), help="stem: .md and .json")


def _main(args: argparse.Namespace) -> None:
    load = Load(args.load, args.turns, args.seed, args.slots, args.pace, exact=True)
    options = Options(load, args.reps, args.out)
    facts = _facts(options)
    rows = run(options)
    report = msgspec.json.encode({"facts": facts, "rows": rows})
    args.out.with_suffix(".json").write_bytes(msgspec.json.format(report))
    args.out.with_suffix(".md").write_text(markdown(rows, facts))


TOOLS_LIVE = Command("tools-live", "the order of tool calls, measured", _configure, _main)
