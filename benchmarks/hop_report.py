"""The hop's figures: medians of repetitions, and ratios to the other gateways."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import LoadResult
from benchmarks.report import Spread, spread

WHOLE, TURNS, STREAM = "whole", "turns", "stream"
DIRECT, OURS = "direct", "gateway"

Measure = Callable[[LoadResult], float | None]


@dataclass(frozen=True, slots=True)
class Window:
    """One window of one peer in one repetition."""

    peer: str
    mode: str
    connections: int
    repetition: int
    result: LoadResult


def _per_request(result: LoadResult) -> float | None:
    return result.cpu_s["front"] * 1e6 / result.requests if result.requests else None


def _per_chunk(result: LoadResult) -> float | None:
    return result.cpu_s["front"] * 1e6 / result.events if result.events else None


def _rate(result: LoadResult) -> float | None:
    return result.requests / result.duration_s


def _request_p50(result: LoadResult) -> float | None:
    return result.request.p50_ms


def _request_p99(result: LoadResult) -> float | None:
    return result.request.p99_ms


def _first_p50(result: LoadResult) -> float | None:
    return result.ttft.p50_ms


def _first_p99(result: LoadResult) -> float | None:
    return result.ttft.p99_ms


def _busy(result: LoadResult) -> float | None:
    return result.cpu_s["front"] / result.duration_s


def _errors(result: LoadResult) -> float | None:
    return float(sum(result.errors.values()))


_REQUESTS: Mapping[str, tuple[Measure, int]] = {
    "CPU per request, µs": (_per_request, 0),
    "requests, 1/s": (_rate, 0),
    "p50, ms": (_request_p50, 2),
    "p99, ms": (_request_p99, 2),
    "busy, share of its core": (_busy, 2),
    "errors": (_errors, 0),
}
COLUMNS: Mapping[str, Mapping[str, tuple[Measure, int]]] = {
    WHOLE: _REQUESTS,
    TURNS: _REQUESTS,
    STREAM: {
        "CPU per chunk, µs": (_per_chunk, 1),
        "TTFT p50, ms": (_first_p50, 2),
        "TTFT p99, ms": (_first_p99, 2),
        "busy, share of its core": (_busy, 2),
        "errors": (_errors, 0),
    },
}
COSTS = {WHOLE: _per_request, TURNS: _per_request, STREAM: _per_chunk}
TITLES = {
    WHOLE: "Requests that are not streamed, each a session of its own",
    TURNS: "Requests that are not streamed, of sessions that return",
    STREAM: "Streams",
}


def markdown(windows: Sequence[Window], notes: Mapping[str, str], facts: Mapping[str, str]) -> str:
    """The whole report; `notes` say what failed, `facts` describe the run."""
    parts = ["# The hop to a server met over HTTP"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    for mode, title in TITLES.items():
        chosen = [window for window in windows if window.mode == mode]
        if chosen:
            parts += [f"## {title}", _table(chosen, mode), _ratios(chosen, mode)]
    parts += [f"`{peer}`: {note}" for peer, note in notes.items()]
    parts += _faults(windows)
    return "\n\n".join(parts) + "\n"


def _table(windows: Sequence[Window], mode: str) -> str:
    columns = COLUMNS[mode]
    lines = [["connections", "peer", *columns], ["---"] * (len(columns) + 2)]
    for (connections, peer), cell in _cells(windows).items():
        texts = [
            _text(spread(_values(cell, measure)), digits) for measure, digits in columns.values()
        ]
        lines.append([str(connections), peer, *texts])
    return "Medians (min..max).\n\n" + _rows(lines)


def _ratios(windows: Sequence[Window], mode: str) -> str:
    """CPU of the others over ours (above 1 we are the cheaper), and time beyond the direct way."""
    lines = [["connections", "peer", "its CPU over ours", "added p50, ms", "added p99, ms"]]
    lines.append(["---"] * len(lines[0]))
    cells = _cells(windows)
    first, last = _request_p50, _request_p99
    if mode == STREAM:
        first, last = _first_p50, _first_p99
    for (connections, peer), cell in cells.items():
        if peer == DIRECT:
            continue
        ours, direct = cells.get((connections, OURS), []), cells.get((connections, DIRECT), [])
        share = spread(theirs / mine for theirs, mine in _pairs(cell, ours, COSTS[mode]) if mine)
        texts = [_text(share, 2)]
        for measure in (first, last):
            pairs = _pairs(cell, direct, measure)
            texts.append(_text(spread(theirs - bare for theirs, bare in pairs), 2))
        lines.append([str(connections), peer, *texts])
    return "Within a repetition, median (min..max).\n\n" + _rows(lines)


def _faults(windows: Sequence[Window]) -> list[str]:
    """What the errors were."""
    kinds: Counter[tuple[str, str, int, str]] = Counter()
    for window in windows:
        for kind, count in window.result.errors.items():
            kinds[window.peer, window.mode, window.connections, kind] += count
    return [
        f"Errors of {peer} ({mode}, {connections} connections): {count} x {kind}."
        for (peer, mode, connections, kind), count in kinds.items()
    ]


def _pairs(
    cell: Iterable[Window], other: Iterable[Window], measure: Measure
) -> list[tuple[float, float]]:
    """What both measured in the same repetition."""
    known = {window.repetition: measure(window.result) for window in other}
    pairs = [(measure(window.result), known.get(window.repetition)) for window in cell]
    return [(one, two) for one, two in pairs if one is not None and two is not None]


def _cells(windows: Sequence[Window]) -> dict[tuple[int, str], list[Window]]:
    cells: dict[tuple[int, str], list[Window]] = {}
    for window in sorted(windows, key=lambda w: w.connections):
        cells.setdefault((window.connections, window.peer), []).append(window)
    return cells


def _values(cell: Iterable[Window], measure: Measure) -> list[float]:
    values = (measure(window.result) for window in cell)
    return [value for value in values if value is not None]


def _text(found: Spread | None, digits: int) -> str:
    return found.text(digits) if found is not None else "-"


def _rows(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
