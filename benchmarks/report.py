"""Figures from repeated runs: medians with their spread, ratios, Markdown."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.load import LoadResult

STREAM, SHORT = "stream", "short"
# Medians of this variant are the denominator of every ratio.
REFERENCE = "vllm"


@dataclass(frozen=True, slots=True)
class Row:
    """One window of one variant in one repetition."""

    variant: str
    mode: str
    streams: int
    repetition: int
    result: LoadResult


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of the report; `digits` after the point."""

    name: str
    unit: str
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and the range it comes from."""

    median: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """As `median (low..high)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}..{self.high:.{digits}f})"


COST = Figure("front-end CPU", "µs/token")
EVENT_COST = Figure("front-end CPU", "µs/event")
RATE = Figure("tokens", "1/s", 0)
REQUEST_RATE = Figure("requests", "1/s")
REQUEST_COST = Figure("front-end CPU per request", "µs", 0)
BUSY = Figure("front end busy", "share", 2)
TTFT_P50 = Figure("TTFT p50", "ms")
TTFT_P99 = Figure("TTFT p99", "ms")
GAP_P50 = Figure("inter-token p50", "ms")
GAP_P99 = Figure("inter-token p99", "ms")
TIME_P50 = Figure("request p50", "ms")
TIME_P99 = Figure("request p99", "ms")
EVENTS = Figure("events per token", "", 2)
FOREIGN = Figure("front core taken by others", "share", 2)
LOAD_BUSY = Figure("generator busy", "share", 2)
ERRORS = Figure("errors", "", 0)

COLUMNS = {
    STREAM: (
        COST,
        EVENT_COST,
        EVENTS,
        RATE,
        TTFT_P50,
        TTFT_P99,
        GAP_P50,
        GAP_P99,
        BUSY,
        FOREIGN,
        LOAD_BUSY,
        ERRORS,
    ),
    SHORT: (REQUEST_RATE, REQUEST_COST, TIME_P50, TIME_P99, BUSY, FOREIGN, LOAD_BUSY, ERRORS),
}
RATIOS = {
    STREAM: (COST, EVENT_COST, RATE, TTFT_P50, TTFT_P99, GAP_P50, GAP_P99),
    SHORT: (REQUEST_RATE, REQUEST_COST, TIME_P50, TIME_P99),
}


def figures(result: LoadResult) -> dict[Figure, float]:
    """Every figure of one window; those without samples are left out."""
    front_s = result.cpu_s.get("front", 0.0)
    busy = front_s / result.duration_s
    core_busy = result.front_core_busy
    values: dict[Figure, float | None] = {
        COST: front_s * 1e6 / result.tokens if result.tokens else None,
        EVENT_COST: front_s * 1e6 / result.events if result.events else None,
        RATE: result.tokens / result.duration_s,
        REQUEST_RATE: result.requests / result.duration_s,
        REQUEST_COST: front_s * 1e6 / result.requests if result.requests else None,
        BUSY: busy,
        FOREIGN: max(0.0, core_busy - busy) if core_busy is not None else None,
        TTFT_P50: result.ttft.p50_ms,
        TTFT_P99: result.ttft.p99_ms,
        GAP_P50: result.gap.p50_ms,
        GAP_P99: result.gap.p99_ms,
        TIME_P50: result.request.p50_ms,
        TIME_P99: result.request.p99_ms,
        EVENTS: result.events / result.tokens if result.tokens else None,
        LOAD_BUSY: result.load_busy,
        ERRORS: float(sum(result.errors.values())),
    }
    return {figure: value for figure, value in values.items() if value is not None}


def spread(values: Iterable[float]) -> Spread | None:
    """Median, minimum and maximum; None without values."""
    ranked = sorted(values)
    return Spread(statistics.median(ranked), ranked[0], ranked[-1]) if ranked else None


def ratio(rows: Sequence[Row], variant: str, figure: Figure) -> Spread | None:
    """`variant` over the reference, taken within each repetition, then the median of those.

    `rows` are of one mode and one number of streams.
    """
    by_repetition: dict[int, dict[str, float]] = {}
    for row in rows:
        value = figures(row.result).get(figure)
        if value is not None:
            by_repetition.setdefault(row.repetition, {})[row.variant] = value
    pairs = [(cell.get(variant), cell.get(REFERENCE)) for cell in by_repetition.values()]
    return spread(ours / theirs for ours, theirs in pairs if ours is not None and theirs)


def markdown(rows: Sequence[Row], notes: dict[str, str], facts: dict[str, str]) -> str:
    """The whole report; `notes` say why a variant is missing, `facts` describe the run."""
    parts = ["# Streaming benchmark", _facts(facts)]
    for mode, title in ((STREAM, "Streamed chat"), (SHORT, "Short answers, not streamed")):
        chosen = [row for row in rows if row.mode == mode]
        if chosen:
            parts += [f"## {title}", _medians(chosen, mode), _ratios(chosen, mode)]
    parts += [f"`{variant}`: {note}" for variant, note in notes.items()]
    return "\n\n".join(filter(None, parts)) + "\n"


def _facts(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _cells(rows: Sequence[Row]) -> dict[tuple[int, str], list[Row]]:
    cells: dict[tuple[int, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.streams, row.variant)):
        cells.setdefault((row.streams, row.variant), []).append(row)
    return cells


def _medians(rows: Sequence[Row], mode: str) -> str:
    columns = COLUMNS[mode]
    lines = []
    for (streams, variant), cell in _cells(rows).items():
        values = [figures(row.result) for row in cell]
        spreads = [spread(v[column] for v in values if column in v) for column in columns]
        texts = [s.text(c.digits) if s else "-" for s, c in zip(spreads, columns, strict=True)]
        lines.append([str(streams), variant, *texts])
    return "Medians (min..max).\n\n" + _table(
        ["streams", "variant", *map(_heading, columns)], lines
    )


def _ratios(rows: Sequence[Row], mode: str) -> str:
    columns = RATIOS[mode]
    lines = []
    for streams, variant in _cells(rows):
        if variant == REFERENCE:
            continue
        same = [row for row in rows if row.streams == streams]
        found = [ratio(same, variant, column) for column in columns]
        if any(found):
            lines.append([str(streams), variant, *[s.text(2) if s else "-" for s in found]])
    if not lines:
        return ""
    title = f"Ratio to `{REFERENCE}` within a repetition: median (min..max).\n\n"
    return title + _table(["streams", "variant", *map(_heading, columns)], lines)


def _heading(figure: Figure) -> str:
    return f"{figure.name}, {figure.unit}" if figure.unit else figure.name


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    ruled = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in ruled)
