"""The picture of a simulation: `python -m benchmarks.tools_plot REPORT.json PICTURE.png`.

A program of its own, so that nothing else in the benchmarks needs matplotlib.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.tools_report import MEAN, Row, average, loads, variants

# The eye should find our default first; what knows the future is dashed.
_STYLES = {
    "fifo": ("#7f7f7f", "-", 1.6),
    "sjf": ("#1f77b4", "-", 1.6),
    "sjf, clairvoyant": ("#1f77b4", "--", 1.2),
    "group, none kept": ("#ff7f0e", "-", 1.6),
    "group": ("#d62728", "-", 2.6),
    "group, 4 kept": ("#9467bd", "-", 1.6),
    "group, none kept, clairvoyant": ("#ff7f0e", "--", 1.2),
    "group, clairvoyant": ("#d62728", "--", 1.2),
}


class _Report(msgspec.Struct):
    rows: list[Row]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes a PNG: the mean time of a turn, and the longest wait of a call, by load."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    turn, wait = figure.subplots(1, 2)
    shares = loads(rows)
    for variant in variants(rows):
        colour, dash, width = _STYLES.get(variant, ("black", ":", 1.0))
        means = [average(rows, variant, share, MEAN) for share in shares]
        longest = [average(rows, variant, share, lambda o: o.wait_longest_s) for share in shares]
        style = {"color": colour, "linestyle": dash}
        turn.plot(shares, means, marker="o", markersize=3, label=variant, lw=width, **style)
        wait.plot(shares, longest, marker="o", markersize=3, label=variant, lw=width, **style)
    least = [average(rows, "fifo", share, lambda o: o.least_s) for share in shares]
    turn.plot(shares, least, color="black", linestyle=":", label="nobody ever waits")
    turn.set(title="Mean time of a turn's calls", xlabel="load", ylabel="seconds", yscale="log")
    turn.set_yticks([5, 6, 8, 10, 15, 20, 30], ["5", "6", "8", "10", "15", "20", "30"])
    turn.minorticks_off()
    wait.set(title="Longest wait of a call", xlabel="load", ylabel="seconds", yscale="log")
    turn.legend(fontsize=8, loc="upper left")
    for axes in (turn, wait):
        axes.grid(alpha=0.3)
        axes.set_xticks(shares)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    report, picture = map(Path, sys.argv[1:])
    draw(msgspec.json.decode(report.read_bytes(), type=_Report).rows, picture)
