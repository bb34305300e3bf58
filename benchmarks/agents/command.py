"""`python -m benchmarks agents`: policies for agents on one engine, in virtual time."""

import argparse
import asyncio
import os
from pathlib import Path
from typing import get_args

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.agents.costs import CARDS, MODELS
from benchmarks.agents.policies import CAP, CLAIRVOYANT_CAP, POLICIES, VANILLA, named
from benchmarks.agents.runs import Job, Matrix, Results, Row
from benchmarks.agents.sessions import Bounds
from benchmarks.agents.sweep import sweep
from benchmarks.agents.workload import Loop, Workload
from benchmarks.commands import Command

LOADS = (0.3, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)
CAPS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
_QUICK = Matrix(
    (VANILLA, "gate, events", "gate + retention, table"), (f"{CAP} 0.8",), (0.6, 1.2), (1,)
)
_QUICK_SESSIONS = 120


def _configure(parser: argparse.ArgumentParser) -> None:
    default, bounds = Workload(), Bounds()
    caps = [f"{kind} {load:g}" for kind in (CAP, CLAIRVOYANT_CAP) for load in CAPS]
    add = parser.add_argument
    add(
        "--policies",
        type=_names,
        default=list(POLICIES),
        help="list with ';' between: " + "; ".join(POLICIES),
    )
    add(
        "--caps",
        type=_names,
        default=caps,
        help=f"the same, of `{CAP} LOAD`, `{CLAIRVOYANT_CAP} LOAD`",
    )
    add("--loads", type=_numbers, default=list(LOADS), help="comma list, in pools")
    add("--seeds", type=_positive, default=5, help="how many")
    add(
        "--loop",
        choices=get_args(Loop),
        default=default.loop,
        help="whether a session that ends is replaced, or sessions come at a rate",
    )
    add("--card", choices=CARDS, default=default.card)
    add("--model", choices=MODELS, default=default.model)
    add("--trace", help="a file of recorded sessions, instead of generated ones")
    add("--sessions", type=_positive, default=default.sessions, help="played in every run")
    add("--turns", type=_positive, default=bounds.most_turns, help="of a session, at most")
    add("--tool-s", type=float, default=bounds.tool_s, help="the longest gap for a tool")
    add("--human-s", type=float, default=bounds.human_s, help="the longest gap for a person")
    add("--scale", type=_positive, default=default.scale, help="real tokens in a simulated one")
    add("--quick", action="store_true", help="few runs of few sessions, to see that it works")
    add("--jobs", type=_positive, default=os.cpu_count(), help="processes at a time")
    add(
        "--out",
        type=Path,
        default=Path("agents"),
        help="stem of the files; runs that .jsonl has are not run again",
    )


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(";") if name.strip()]
    for name in names:
        try:
            named(name)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(
                f"{name!r} is no policy; there are: {'; '.join(POLICIES)}"
            ) from None
    return names


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",") if part]
    if not numbers or min(numbers) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: loads are numbers above 0, as in 0.6,1.2")
    return numbers


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


def _main(args: argparse.Namespace) -> None:
    bounds = Bounds(most_turns=args.turns, tool_s=args.tool_s, human_s=args.human_s)
    sessions = _QUICK_SESSIONS if args.quick else args.sessions
    workload = Workload(args.card, args.model, args.trace, args.loop, sessions, bounds, args.scale)
    matrix = Matrix(args.policies, args.caps, args.loads, range(1, args.seeds + 1))
    if args.quick:
        matrix = _QUICK
    results = Results(args.out.with_suffix(".jsonl"), workload)
    todo = results.missing(list(matrix.jobs(workload)))
    asyncio.run(_play(todo, args.jobs, results))


async def _play(todo: list[Job], processes: int, results: Results) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("runs", total=len(todo))

        def done(rows: list[Row]) -> None:
            results.add(rows)
            progress.advance(task)
            if rows:
                best = rows[-1]
                found = f"{best.outcome.turns_per_s:.3f} turns/s"
                progress.update(task, description=f"{best.policy} at {best.load:g}: {found}")

        await sweep(todo, processes, done)


AGENTS = Command("agents", "policies for agents on one engine, simulated", _configure, _main)
