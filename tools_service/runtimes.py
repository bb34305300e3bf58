"""The lookup table: how long a call of this tool, with arguments of this shape, will run.

Estimates shrink in log space from the shape to the tool to the kind of tool to a prior, each level
with the weight n / (n + 8). Only service time counts, never the wait for a slot.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TypeVar

import msgspec

from tools_service.errors import BadTable
from tools_service.records import Kind, Lesson, Line, Outcome, Record, Row, Saved, lesson

PRIORS: Mapping[Kind, tuple[float, float]] = {
    "closed": (0.05, 0.5),  # reads only what the service itself holds
    "open": (1.5, 8.0),  # reads the network
    "code": (0.85, 22.0),  # anything that may change or run something
}
"""(p50, p90) in seconds of a tool nobody has called yet."""

_Kept = TypeVar("_Kept", Row, Record)
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


@dataclass(slots=True)
class Table:
    """All rows. Bounded: so many tools, so many shapes of each; the least used of late goes.

    `told` hears every lesson of `observe`, and none that `learn` is given: what others taught is
    not told again.
    """

    shapes_per_tool: int = 64
    tools: int = 256
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    told: Callable[[Lesson], None] | None = None
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
        into, ending = lesson(outcome, run_s=run_s, half_s=guess.p50_s)
        inside = guess.p10_s <= run_s <= guess.p90_s if outcome == "ok" else None
        found = Lesson(key.tool, key.shape, key.kind, run_s, now, into, ending, inside)
        self.learn(found)
        if self.told is not None:
            self.told(found)

    def learn(self, lesson: Lesson) -> None:
        """Takes in one lesson on all three levels."""
        row = self._saved.tools.setdefault(lesson.tool, Row(kind=lesson.kind))
        kind = self._saved.kinds.setdefault(lesson.kind, Record())
        shape = row.shapes.setdefault(lesson.shape, Record())
        for record in (kind, row.whole, shape):
            record.learn(lesson)
        if lesson.inside is not None:
            row.judged += 1
            row.inside += lesson.inside
        self._trim(lesson)

    def calibration(self, tool: str) -> float | None:
        """The share of a tool's calls that ended inside their range; None before the first."""
        row = self._saved.tools.get(tool)
        return row.inside_share if row else None

    def lines(self) -> Iterator[Line]:
        """The whole table, for the read-only endpoint."""
        for tool, row in sorted(self._saved.tools.items()):
            yield self._line(Key(tool, "*", row.kind), row.whole, row.inside_share)
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
        self.replace(saved)

    def replace(self, saved: Saved) -> None:
        """Replaces what is known. Raises BadTable and stays as it was."""
        if any(record.damaged() for record in saved.records()):
            raise BadTable("numbers out of range")
        _keep_used(saved.tools, self.tools, lambda row: row.whole)
        for row in saved.tools.values():
            _keep_used(row.shapes, self.shapes_per_tool, lambda record: record)
        self._saved = saved

    def copy(self) -> Saved:
        """What is known, as it is now."""
        return msgspec.json.decode(self.dump(), type=Saved)

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

    def _trim(self, lesson: Lesson) -> None:
        """Makes room, but never by what has just been used: it would never become much used."""
        tools = self._saved.tools
        if len(tools) > self.tools:
            _keep_used(tools, self.tools, lambda row: row.whole, lesson.tool)
        if len(shapes := tools[lesson.tool].shapes) > self.shapes_per_tool:
            _keep_used(shapes, self.shapes_per_tool, lambda record: record, lesson.shape)

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


def _keep_used(
    rows: dict[str, _Kept], most: int, record: Callable[[_Kept], Record], touched: str | None = None
) -> None:
    """Removes the least used rows until `most` are left."""
    now = max((record(row).last_s for row in rows.values()), default=0.0)
    spare = sorted(rows.keys() - {touched}, key=lambda name: (record(rows[name]).use(now), name))
    for name in spare[: max(len(rows) - most, 0)]:
        del rows[name]
