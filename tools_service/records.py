"""What the lookup table remembers: rows, and the lessons they are made of."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from tools_service.sketch import Count, Sketch

Kind = Literal["closed", "open", "code"]
Outcome = Literal["ok", "error", "timeout", "cancelled"]
Into = Literal["runs", "failures", ""]
Ending = Literal["timeouts", "cancels", ""]


class Lesson(msgspec.Struct, frozen=True, array_like=True):
    """What one call taught, complete in itself: replicas send each other these."""

    tool: str
    shape: str
    kind: Kind
    run_s: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
    at_s: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    into: Into
    ending: Ending = ""
    inside: bool | None = None
    """Whether it ended inside its expected range; None where that was no question."""


def lesson(outcome: Outcome, *, run_s: float, half_s: float) -> tuple[Into, Ending]:
    """Where a call that ended so counts. `half_s` is the median that was expected of it."""
    match outcome:
        case "ok":
            return "runs", ""
        case "error":
            return "failures", ""
        case "timeout":
            # Right-censored: it would have run at least this long.
            return "runs", "timeouts"
        case "cancelled":
            # An early cancel says nothing; a late one, that the call was a long one.
            return ("runs" if run_s > half_s else ""), "cancels"


class Record(msgspec.Struct):
    """One level's memory: full runs, failures apart, and how calls ended otherwise."""

    runs: Sketch = msgspec.field(default_factory=Sketch)
    failures: Sketch = msgspec.field(default_factory=Sketch)
    timeouts: Count = 0
    cancels: Count = 0

    def learn(self, lesson: Lesson) -> None:
        """Takes in one call."""
        if lesson.into == "runs":
            self.runs.add(lesson.run_s, lesson.at_s)
        elif lesson.into == "failures":
            self.failures.add(lesson.run_s, lesson.at_s)
        self.timeouts += lesson.ending == "timeouts"
        self.cancels += lesson.ending == "cancels"

    @property
    def last_s(self) -> float:
        """When it was last used."""
        return max(self.runs.last_s, self.failures.last_s)

    def use(self, now: float) -> float:
        """How much it has been used of late: calls, each halved with every half-life."""
        return self.runs.use(now) + self.failures.use(now)

    def damaged(self) -> bool:
        """Numbers no honest run could have produced."""
        return self.runs.damaged() or self.failures.damaged()


class Row(msgspec.Struct):
    """A tool: all its calls, each shape, and how well we guessed."""

    kind: Kind
    whole: Record = msgspec.field(default_factory=Record)
    shapes: dict[str, Record] = {}
    judged: Count = 0
    inside: Count = 0

    @property
    def inside_share(self) -> float | None:
        """The share of calls inside their expected range; None before the first."""
        return self.inside / self.judged if self.judged else None


class Saved(msgspec.Struct):
    """The whole table."""

    tools: dict[str, Row] = {}
    kinds: dict[Kind, Record] = {}
    version: Literal[1] = 1

    def records(self) -> Iterator[Record]:
        """All of them, on every level."""
        yield from self.kinds.values()
        for row in self.tools.values():
            yield row.whole
            yield from row.shapes.values()


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
