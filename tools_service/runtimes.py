"""The lookup table: how long a call of this tool, with arguments of this shape, will run.

Estimates shrink in log space from the shape to the tool to the kind of tool to a prior, each level
with the weight n / (n + 8). Only service time counts, never the wait for a slot.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import msgspec

from tools_service.errors import BadTable
from tools_service.sketch import Count, Sketch

Kind = Literal["closed", "open", "code"]
Outcome = Literal["ok", "error", "timeout", "cancelled"]

PRIORS: Mapping[Kind, tuple[float, float]] = {
    "closed": (0.05, 0.5),  # reads only what the service itself holds
    "open": (1.5, 8.0),  # reads the network
    "code": (0.85, 22.0),  # anything that may change or run something
}
"""(p50, p90) in seconds of a tool nobody has called yet."""

_SHRINK = 8.0
_SHARES = (0.1, 0.5, 0.9, 0.95, 0.99)
_NORMAL = NormalDist()
_SCORES = tuple(_NORMAL.inv_cdf(share) for share in _SHARES)
_SCORE_90 = _NORMAL.inv_cdf(0.9)


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the table: a tool, its kind and the shape of the arguments."""

    tool: str
    shape: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Expected:
    """What the table says about a call, in seconds; `samples` is how often this shape was seen."""

    samples: int
    mean_s: float
    p10_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float

    @property
    def range_s(self) -> tuple[float, float]:
        """The expected execution range: four calls of five end inside."""
        return (self.p10_s, self.p90_s)

    def timeout_s(self, floor_s: float, cap_s: float) -> float:
        """How long to let it run: three times the 99th percentile, within bounds."""
        return min(max(3 * self.p99_s, floor_s), cap_s)


class Record(msgspec.Struct):
    """One level's memory: full runs, failures apart, and how calls ended otherwise."""

    runs: Sketch = msgspec.field(default_factory=Sketch)
    failures: Sketch = msgspec.field(default_factory=Sketch)
    timeouts: Count = 0
    cancels: Count = 0


class Row(msgspec.Struct):
    """A tool: all its calls, each shape (least recently used first), and how well we guessed."""

    kind: Kind
    whole: Record = msgspec.field(default_factory=Record)
    shapes: dict[str, Record] = {}
    judged: Count = 0
    inside: Count = 0


class Saved(msgspec.Struct):
    """The table's file."""

    tools: dict[str, Row] = {}
    kinds: dict[Kind, Record] = {}
    version: Literal[1] = 1


class Line(msgspec.Struct, frozen=True):
    """One line for the people who look: a shape, or `*` for the whole tool."""

    tool: str
    shape: str
    kind: Kind
    samples: int
    errors: int
    timeouts: int
    cancels: int
    mean_s: float
    p10_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    inside_share: float | None = None


@dataclass(slots=True)
class Table:
    """All rows. Bounded: as many shapes per tool as said, the least recently used goes."""

    shapes_per_tool: int = 64
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    _saved: Saved = field(default_factory=Saved)

    def __len__(self) -> int:
        """The number of (tool, shape) rows."""
        return sum(len(row.shapes) for row in self._saved.tools.values())

    def expected(self, key: Key) -> Expected:
        """The estimate for a call that is about to run."""
        middle, spread = self._prior(key)
        logs = [middle + spread * spread / 2, *(middle + spread * z for z in _SCORES)]
        for record in self._levels(key):
            runs = record.runs
            share = runs.strength / (runs.strength + _SHRINK)
            values = (runs.mean, *runs.quantiles(_SHARES))
            logs = [
                (1 - share) * a + share * math.log(b) for a, b in zip(logs, values, strict=True)
            ]
        return Expected(self._samples(key), *(math.exp(value) for value in logs))

    def remaining(self, key: Key, age_s: float) -> float:
        """E[S - age | S > age]: what a call that has run for `age_s` seconds still needs."""
        left = math.log(_lognormal_remaining(*self._prior(key), age_s))
        for record in self._levels(key):
            strength, remaining_s = record.runs.remaining(age_s)
            if strength:
                share = strength / (strength + _SHRINK)
                left = (1 - share) * left + share * math.log(max(remaining_s, 1e-6))
        return math.exp(left)

    def observe(
        self, key: Key, outcome: Outcome, run_s: float, guess: Expected, now: float
    ) -> None:
        """Learns from one call. `guess` is what was expected of it, `now` wall-clock time."""
        row = self._saved.tools.setdefault(key.tool, Row(kind=key.kind))
        kind = self._saved.kinds.setdefault(key.kind, Record())
        for record in (kind, row.whole, self._touch(row, key.shape)):
            _learn(record, outcome, run_s, guess, now)
        if outcome == "ok":
            row.judged += 1
            row.inside += guess.p10_s <= run_s <= guess.p90_s

    def lines(self) -> Iterator[Line]:
        """The whole table, for the read-only endpoint."""
        for tool, row in sorted(self._saved.tools.items()):
            share = row.inside / row.judged if row.judged else None
            yield self._line(Key(tool, "*", row.kind), row.whole, share)
            for shape, record in sorted(row.shapes.items()):
                yield self._line(Key(tool, shape, row.kind), record, None)

    def dump(self) -> bytes:
        """The table as JSON, for `load`."""
        return msgspec.json.encode(self._saved)

    def load(self, data: bytes) -> None:
        """Replaces what is known by a dumped table. Raises BadTable and stays as it was."""
        try:
            saved = msgspec.json.decode(data, type=Saved)
        except msgspec.DecodeError as exc:
            raise BadTable(str(exc)) from exc
        if any(_damaged(record) for record in _records(saved)):
            raise BadTable("numbers out of range")
        for row in saved.tools.values():
            self._trim(row)
        self._saved = saved

    def _prior(self, key: Key) -> tuple[float, float]:
        """(mean, standard deviation) of the logarithm."""
        p50, p90 = self.priors.get(key.tool, PRIORS[key.kind])
        return math.log(p50), math.log(max(p90 / p50, 1.01)) / _SCORE_90

    def _levels(self, key: Key) -> Iterator[Record]:
        """Those with something to say, from the kind down to the shape."""
        row = self._saved.tools.get(key.tool)
        found = (
            self._saved.kinds.get(key.kind),
            row.whole if row else None,
            row.shapes.get(key.shape) if row else None,
        )
        return (record for record in found if record is not None and record.runs.weight > 0)

    def _samples(self, key: Key) -> int:
        row = self._saved.tools.get(key.tool)
        record = row.shapes.get(key.shape) if row else None
        return record.runs.samples if record else 0

    def _touch(self, row: Row, shape: str) -> Record:
        record = row.shapes.pop(shape, None) or Record()
        row.shapes[shape] = record
        self._trim(row)
        return record

    def _trim(self, row: Row) -> None:
        while len(row.shapes) > self.shapes_per_tool:
            del row.shapes[next(iter(row.shapes))]

    def _line(self, key: Key, record: Record, share: float | None) -> Line:
        guess = self.expected(key)
        return Line(
            tool=key.tool,
            shape=key.shape,
            kind=key.kind,
            samples=record.runs.samples,
            errors=record.failures.samples,
            timeouts=record.timeouts,
            cancels=record.cancels,
            mean_s=guess.mean_s,
            p10_s=guess.p10_s,
            p50_s=guess.p50_s,
            p90_s=guess.p90_s,
            p95_s=guess.p95_s,
            p99_s=guess.p99_s,
            inside_share=share,
        )


def _learn(record: Record, outcome: Outcome, run_s: float, guess: Expected, now: float) -> None:
    match outcome:
        case "ok":
            record.runs.add(run_s, now)
        case "error":
            record.failures.add(run_s, now)
        case "timeout":
            # Right-censored: it would have run at least this long.
            record.runs.add(run_s, now)
            record.timeouts += 1
        case "cancelled":
            record.cancels += 1
            # An early cancel says nothing; a late one, that the call was a long one.
            if run_s > guess.p50_s:
                record.runs.add(run_s, now)


def _lognormal_remaining(middle: float, spread: float, age_s: float) -> float:
    """E[S - age | S > age] of a log-normal duration."""
    mean_s = math.exp(middle + spread * spread / 2)
    if age_s <= 0:
        return mean_s
    score = (middle - math.log(age_s)) / spread
    outlived = _NORMAL.cdf(score)
    if outlived < 1e-9:
        return age_s  # far in the tail: as long again, the heavy-tailed guess
    return max(mean_s * _NORMAL.cdf(score + spread) / outlived - age_s, 1e-6)


def _records(saved: Saved) -> Iterator[Record]:
    yield from saved.kinds.values()
    for row in saved.tools.values():
        yield row.whole
        yield from row.shapes.values()


def _damaged(record: Record) -> bool:
    return record.runs.damaged() or record.failures.damaged()
