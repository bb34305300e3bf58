"""`python -m benchmarks agents`: policies for agents on one engine, in virtual time."""

import argparse
import os
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.agents.costs import CARDS, MODELS
from benchmarks.agents.policies import POLICIES
from benchmarks.agents.sessions import Bounds
from benchmarks.agents.sweep import jobs, sweep
from benchmarks.agents.workload import Workload
from benchmarks.commands import Command

LOADS = (0.3, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)
CAPS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)


def _configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--policies",
        type=_names,
        default=list(POLICIES),
        help="';' list of: " + "; ".join(POLICIES),
    )
    add("--loads", type=_floats, default=list(LOADS), help="comma list, in pools")
    add("--caps", type=_floats, default=list(CAPS), help="static caps, comma list, in pools")
    add("--seeds", type=int, default=5, help="how many")
    add("--card", choices=CARDS, default="h100")
    add("--model", choices=MODELS, default="20b-moe")
    add("--trace", type=Path, help="recorded sessions instead of generated ones")
    add("--sessions", type=int, default=300, help="played in every run")
    add("--turns", type=int, default=Bounds().most_turns, help="of a session at most")
    add("--tool-s", type=float, default=Bounds().tool_s, help="the longest gap for a tool")
    add("--human-s", type=float, default=Bounds().human_s, help="the longest gap for a person")
    add("--scale", type=int, default=16, help="real tokens in a simulated one")
    add("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    add(
        "--out",
        type=Path,
        default=Path("agents.jsonl"),
        help="results; kept ones are not run again",
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(";") if name.strip()]
    for name in names:
        if name not in POLICIES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of: {'; '.join(POLICIES)}")
    return names


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",") if part]


def _main(args: argparse.Namespace) -> None:
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    bounds = Bounds(most_turns=args.turns, tool_s=args.tool_s, human_s=args.human_s)
    workload = Workload(args.card, args.model, args.trace, args.sessions, bounds, args.scale)
    todo = list(jobs(args.policies, args.caps, args.loads, range(1, args.seeds + 1)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("agents", total=len(todo))
        for rows in sweep(workload, todo, args.out, args.jobs):
            progress.advance(task)
            for row in rows:
                found = row.outcome
                progress.console.print(
                    f"{row.policy:24} load {row.load:<4g} seed {row.seed}  "
                    f"{found.turns_per_s:.3f} turns/s, cached {found.cached_share:.3f}"
                )


AGENTS = Command("agents", "policies for agents on one engine, simulated", _configure, _main)
