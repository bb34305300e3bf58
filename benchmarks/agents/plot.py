"""The picture of a simulation: `python -m benchmarks.agents.plot RESULTS.jsonl PICTURE.png`.

A program of its own, so that nothing else in the benchmarks needs matplotlib.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from benchmarks.agents.cells import (
    BEST_CAP,
    Figure,
    Interval,
    interval,
    loads,
    policies,
    ratios,
    told,
    turns_per_s,
    values,
)
from benchmarks.agents.policies import CLAIRVOYANT, OURS, VANILLA
from benchmarks.agents.runs import Row

# The eye should find our default first; what knows the future, or what nobody has, is dashed.
_STYLES = {
    VANILLA: ("#7f7f7f", "-", 2.2),
    "program order": ("#bcbd22", "-", 1.2),
    "least served": ("#c5b0d5", "-", 1.2),
    "thunder gate": ("#8c564b", "-", 1.2),
    "pins of 15 s": ("#e377c2", "-", 1.2),
    "gate, table": ("#1f77b4", "-", 1.6),
    "retention, table": ("#2ca02c", "-", 1.6),
    "gate + retention, events": ("#ff7f0e", "-", 1.6),
    OURS: ("#d62728", "-", 2.8),
    BEST_CAP: ("#000000", "-", 1.6),
    CLAIRVOYANT: ("#d62728", "--", 1.2),
    "unbounded pool": ("#7f7f7f", "--", 1.2),
}
_PANELS: tuple[tuple[str, str, Figure], ...] = (
    ("Turns per second", "linear", turns_per_s),
    ("Cached share of prompt tokens", "linear", lambda o: o.cached_share),
    ("Sessions, p95, seconds", "log", lambda o: o.session_s.p95),
    ("Later turns' first token, p95, seconds", "log", lambda o: o.later_ttft_s.p95),
    ("Worst wait of a turn, seconds", "log", lambda o: o.worst_wait_s),
)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: six figures by load, with the intervals of their means; `rows` are those that
    are told."""
    picture = Picture(figsize=(15, 8.4), layout="constrained")
    FigureCanvasAgg(picture)
    first, *panels = picture.subplots(2, 3).flat
    shown = [name for name in policies(rows) if name in _STYLES]
    for name in shown:
        _line(first, name, {x: ratios(rows, name, VANILLA, x) for x in loads(rows)})
        for axes, (_, _, figure) in zip(panels, _PANELS, strict=True):
            _line(axes, name, {x: values(rows, name, x, figure) for x in loads(rows)})
    first.set(title="Turns per second over vanilla's", xlabel="load (live contexts over the pool)")
    for axes, (title, scale, _) in zip(panels, _PANELS, strict=True):
        axes.set(title=title, xlabel="load (live contexts over the pool)", yscale=scale)
    for axes in (first, *panels):
        axes.grid(alpha=0.3)
        axes.set_xticks(loads(rows))
    picture.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    picture.savefig(path, dpi=110)


def _line(axes: Axes, name: str, found: dict[float, list[float]]) -> None:
    cells: dict[float, Interval] = {x: interval(ys) for x, ys in found.items() if ys}
    colour, dash, width = _STYLES[name]
    axes.errorbar(
        list(cells),
        [cell.mean for cell in cells.values()],
        yerr=[cell.half or 0.0 for cell in cells.values()],
        label=name,
        color=colour,
        linestyle=dash,
        linewidth=width,
        elinewidth=0.8,
        marker="o",
        markersize=3,
    )


def _main(results: Path, picture: Path) -> None:
    lines = results.read_bytes().splitlines()[1:]
    draw(told(msgspec.json.decode(line, type=Row) for line in lines), picture)


if __name__ == "__main__":
    _main(*map(Path, sys.argv[1:]))
