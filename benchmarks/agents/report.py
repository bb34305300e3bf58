"""What the simulated policies did, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.agents.cells import Figure, Interval, chosen, interval, loads, policies, ratios
from benchmarks.agents.policies import VANILLA
from benchmarks.agents.runs import Row
from benchmarks.tools_report import Goal, listing, table


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of a table; `digits` after the point."""

    name: str
    figure: Figure
    digits: int = 1


RATIO = "over vanilla"

THROUGHPUT = (
    Column("turns/s", lambda o: o.turns_per_s, 3),
    Column("steady turns/s", lambda o: o.steady_turns_per_s, 3),
    Column("cached", lambda o: o.cached_share, 3),
    Column("ideal", lambda o: o.ideal_share, 3),
    Column("prefill over ideal", lambda o: o.amplification, 2),
    Column("turns evicted, then back", lambda o: o.returned, 0),
    Column("preemptions", lambda o: o.preemptions, 0),
    Column("set aside", lambda o: o.set_aside, 0),
)
SESSIONS = (
    Column("mean", lambda o: o.session_s.mean, 0),
    Column("p50", lambda o: o.session_s.p50, 0),
    Column("p95", lambda o: o.session_s.p95, 0),
    Column("p99", lambda o: o.session_s.p99, 0),
    Column("queue", lambda o: o.parts.queue_s, 0),
    Column("prefill", lambda o: o.parts.prefill_s, 0),
    Column("decode", lambda o: o.parts.decode_s, 0),
    Column("tool", lambda o: o.parts.tool_s, 0),
)
WAITS = (
    Column("first TTFT p50", lambda o: o.first_ttft_s.p50),
    Column("first p95", lambda o: o.first_ttft_s.p95),
    Column("later TTFT p50", lambda o: o.later_ttft_s.p50),
    Column("later p95", lambda o: o.later_ttft_s.p95),
    Column("later p99", lambda o: o.later_ttft_s.p99),
    Column("worst wait", lambda o: o.worst_wait_s, 0),
)
FAIRNESS = (
    Column("short", lambda o: o.classes_p95_s[0], 0),
    Column("middle", lambda o: o.classes_p95_s[1], 0),
    Column("long", lambda o: o.classes_p95_s[2], 0),
)


_PARTS = {
    "throughput": THROUGHPUT,
    "sessions, seconds": SESSIONS,
    "waiting, seconds": WAITS,
    "p95 of sessions by length, over vanilla's": FAIRNESS,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy at one load, over its seeds."""

    policy: str
    load: float
    seeds: int
    ratio: Interval | None
    """Turns per second over vanilla's."""
    figures: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run leaves behind as JSON; each run is in the lines beside it."""

    facts: Mapping[str, str]
    goals: Sequence[Goal]
    cells: Sequence[Cell]


def cells(rows: Sequence[Row]) -> list[Cell]:
    """Every policy at every load; `rows` are those that are told."""
    found = []
    for load in loads(rows):
        for policy in policies(rows):
            if not (cell := chosen(rows, policy, load)):
                continue
            figures = {
                f"{part}: {column.name}": interval([column.figure(row.outcome) for row in cell])
                for part, columns in _PARTS.items()
                for column in columns
            }
            by_seed = ratios(rows, policy, VANILLA, load)
            ratio = interval(by_seed) if by_seed else None
            found.append(Cell(policy, load, len(cell), ratio, figures))
    return found


def markdown(rows: Sequence[Row], report: Report, picture: str | None) -> str:
    """The whole report."""
    parts = ["# Policies for agents on one engine, in virtual time", listing(dict(report.facts))]
    if report.goals:
        lines = [[g.text, g.found, "met" if g.met else "**missed**"] for g in report.goals]
        parts += ["## Goals", table(["goal", "found", ""], lines)]
    if picture:
        parts.append(f"![Throughput, session times and waits by load]({picture})")
    for load in loads(rows):
        parts += [f"## Load {load:g}", *_tables(rows, report.cells, load)]
    return "\n\n".join(parts) + "\n"


def _tables(rows: Sequence[Row], told: Sequence[Cell], load: float) -> list[str]:
    here = [cell for cell in told if cell.load == load]
    found = []
    for part, columns in _PARTS.items():
        lines = []
        for cell in here:
            if columns is FAIRNESS:
                texts = [_against(rows, cell.policy, column, load) for column in columns]
            else:
                texts = [cell.figures[f"{part}: {c.name}"].text(c.digits) for c in columns]
            if columns is THROUGHPUT:
                texts.insert(1, cell.ratio.text(2) if cell.ratio else "")
            lines.append([cell.policy, *texts])
        heads = [column.name for column in columns]
        if columns is THROUGHPUT:
            heads.insert(1, RATIO)
        found += [f"{part[0].upper()}{part[1:]}:", table(["policy", *heads], lines)]
    return found


def _against(rows: Sequence[Row], policy: str, column: Column, load: float) -> str:
    by_seed = ratios(rows, policy, VANILLA, load, column.figure)
    return interval(by_seed).text(2) if by_seed else ""
