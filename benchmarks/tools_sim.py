"""The tool schedule in virtual time: every policy, loads up to 0.95, several seeds."""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.commands import Command
from benchmarks.machine import describe
from benchmarks.tools_report import (
    Goal,
    Row,
    loads,
    markdown,
    ratios,
    speedup,
    speedup_error,
)
from benchmarks.tools_workload import LONGEST_S, Load, trace
from benchmarks.tools_world import Variant, simulate

VARIANTS = (
    Variant("fifo", "fifo"),
    Variant("sjf", "sjf"),
    Variant("sjf, clairvoyant", "sjf", knows=True),
    Variant("group, none kept", "group"),
    Variant("group", "group", reserve=None),
    Variant("group, 4 kept", "group", reserve=4),
    Variant("group, none kept, clairvoyant", "group", knows=True),
    Variant("group, clairvoyant", "group", reserve=None, knows=True),
)
_GOAL_LOAD, _IDLE_LOAD = 0.85, 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark."""

    seeds: dict[float, int]
    """How many seeds each load is played with."""
    turns: int
    slots: int
    exact: bool
    jobs: int
    out: Path


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run leaves behind as JSON."""

    facts: dict[str, str]
    goals: list[Goal]
    rows: list[Row]


def run(options: Options) -> Report:
    """Simulates every load and seed, several at a time."""
    cells = [
        Load(share, options.turns, seed, options.slots, exact=options.exact)
        for share, seeds in options.seeds.items()
        for seed in range(1, seeds + 1)
    ]
    rows: list[Row] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(play, cells):
            rows += found
            sys.stderr.write(f"load {found[0].load:g}, seed {found[0].seed} done\n")
    return Report(_facts(options), goals(rows), rows)


def play(load: Load) -> list[Row]:
    """Every variant on the same turns."""
    turns = trace(load)
    return [
        Row(
            v.name, load.share, load.seed, simulate(turns, v, slots=load.slots, longest_s=LONGEST_S)
        )
        for v in VARIANTS
    ]


def goals(rows: Sequence[Row]) -> list[Goal]:
    """What was promised of the default policy, against what was found."""
    found = [_bound(rows)]
    if _GOAL_LOAD in loads(rows):
        found += _busy(rows)
    found += [_idle(rows, share) for share in loads(rows) if share < _IDLE_LOAD]
    return found


def _busy(rows: Sequence[Row]) -> list[Goal]:
    where = f"at load {_GOAL_LOAD}"
    found = [
        _faster(rows, "group", f"mean turn at least 1.5 times faster than fifo {where}"),
        _faster(rows, "group, clairvoyant", f"the same for one that knows every run time {where}"),
    ]
    for ours, theirs in (
        ("group", "group, clairvoyant"),
        ("group", "group, none kept, clairvoyant"),
        ("group, none kept", "group, none kept, clairvoyant"),
    ):
        over = [100 * (ratio - 1) for ratio in ratios(rows, ours, theirs, _GOAL_LOAD)]
        mean = statistics.fmean(over)
        text = f"{mean:.1f} % ({min(over):.1f} to {max(over):.1f} by seed)"
        goal = f"`{ours}` within 6 % of `{theirs}` in the mean turn {where}"
        found.append(Goal(goal, text, mean <= 6))
    return found


def _faster(rows: Sequence[Row], variant: str, text: str) -> Goal:
    by_seed = ratios(rows, "fifo", variant, _GOAL_LOAD)
    most = speedup(rows, variant, _GOAL_LOAD)
    found = f"{most:.2f} times ({min(by_seed):.2f} to {max(by_seed):.2f} by seed"
    error = speedup_error(rows, variant, _GOAL_LOAD)
    found += f"; standard error {error:.2f})" if error is not None else ")"
    # More digits than are told would be noise.
    return Goal(text, found, round(most, 2) >= 1.5)


def _bound(rows: Sequence[Row]) -> Goal:
    share = max(row.outcome.bound_share for row in rows)
    text = f"the longest wait was {100 * share:.0f} % of its bound, in all runs with kept slots"
    return Goal("no wait above (B / R + 1) * T", text, share <= 1)


def _idle(rows: Sequence[Row], load: float) -> Goal:
    change = 100 * (statistics.fmean(ratios(rows, "group", "fifo", load)) - 1)
    text = f"mean turn {change:+.1f} % against fifo"
    return Goal(f"no effect at load {load:g} (within 1 %)", text, abs(change) <= 1)


def _facts(options: Options) -> dict[str, str]:
    machine = describe()
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "python": machine["python"],
        "workload": f"{options.turns} turns of 1 to 8 calls (mean 2.1), Poisson, the first fifth "
        "not counted; mean run time of a call 2.85 s, C^2 = 13",
        "load": "exact in every run" if options.exact else "of the law; that of a run differs",
        "slots": f"{options.slots} shared; `group` is the default: an eighth kept for the oldest",
        "seeds": ", ".join(f"{seeds} at {share:g}" for share, seeds in options.seeds.items())
        + "; all variants play the same turns",
        "estimates": "the service's own table, empty at the start; `clairvoyant` knows run times",
        "turn": "from the moment its calls come to the last result",
    }


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--loads",
        # The busier the service, the more one seed differs from the next.
        default="0.4:3,0.5:3,0.7:3,0.85:64,0.95:6",
        help="comma list of LOAD:SEEDS",
    )
    parser.add_argument("--turns", type=int, default=25_000)
    parser.add_argument(
        "--exact", action="store_true", help="stretch every run until its load is what was asked"
    )
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument(
        "--out", type=Path, default=Path("tools_sim"), help="stem of the .md, .json and .png"
    )


def _main(args: argparse.Namespace) -> None:
    pairs = (pair.split(":") for pair in args.loads.split(","))
    seeds = {float(share): int(count) for share, count in pairs}
    options = Options(seeds, args.turns, args.slots, args.exact, args.jobs, args.out)
    report = run(options)
    data, picture = options.out.with_suffix(".json"), options.out.with_suffix(".png")
    data.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    drawing = subprocess.run([sys.executable, "-m", "benchmarks.tools_plot", data, picture])
    drawn = None if drawing.returncode else picture.name
    text = markdown(report.rows, report.goals, report.facts, drawn)
    options.out.with_suffix(".md").write_text(text)


TOOLS_SIM = Command("tools-sim", "the order of waiting tool calls, simulated", _configure, _main)
