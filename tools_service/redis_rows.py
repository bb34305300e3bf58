"""How the runtime table is written down in Redis: names of keys, fields of a row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Self, cast
from urllib.parse import quote, unquote

import msgspec

from tools_service.errors import BadTable
from tools_service.records import Kind, Lesson, Record, Row, Saved
from tools_service.sketch import HALF_LIFE_S, PAUSE_S, Sketch, bucket, clamped

_NUMBERS = {"n": "samples", "W": "weight", "S": "total", "u": "unit", "t": "last_s"}
_COUNTS = ("timeouts", "cancels")

Fields = Mapping[str, str]
Stored = tuple[str, float, list[str]]


class Keys:
    """Names with one hash tag: a cluster keeps them together, as scripts demand."""

    def __init__(self, prefix: str) -> None:
        self._tag = f"{{{prefix}}}"
        self.born = f"{self._tag}:born"
        self.rows = f"{self._tag}:rows"
        self.lessons = f"{self._tag}:lessons"

    def row(self, suffix: str) -> str:
        """One row's hash."""
        return f"{self._tag}:fl:{suffix}"

    def heard(self, replica: str) -> str:
        """The number of the last lesson of a replica."""
        return f"{self._tag}:heard:{replica}"


class Joined(msgspec.Struct, frozen=True):
    """What JOIN found: which table, the last lesson in it, and its rows."""

    born: str
    last: str
    rows: list[tuple[str, Fields]]

    @classmethod
    def read(cls, answer: object) -> Self:
        """From the script's answer."""
        born, last, rows = cast("tuple[bytes, bytes, list[tuple[bytes, list[bytes]]]]", answer)
        return cls(
            born.decode(), last.decode(), [(name.decode(), _mapped(row)) for name, row in rows]
        )


def suffixes(lesson: Lesson) -> tuple[str, str, str]:
    """The three rows a lesson belongs to: shape, tool, kind."""
    tool = quote(lesson.tool, safe="")
    return f"{tool}:{lesson.shape}", tool, f":{lesson.kind}"


def learned(lesson: Lesson) -> list[str | float]:
    """A lesson as LEARN takes it."""
    run_s = clamped(lesson.run_s)
    inside = "" if lesson.inside is None else str(int(lesson.inside))
    counted = [lesson.into, lesson.ending, inside, lesson.kind]
    return [bucket(run_s), run_s, lesson.at_s, *counted, HALF_LIFE_S, PAUSE_S]


def fields(table: Saved) -> list[Stored]:
    """A whole table as SEED takes it: (suffix, last use, its fields flat)."""
    nothing: Mapping[str, float] = {}
    found: list[tuple[str, Kind, Record, Mapping[str, float]]] = [
        (f":{kind}", kind, record, nothing) for kind, record in table.kinds.items()
    ]
    for name, row in table.tools.items():
        tool = quote(name, safe="")
        judged = {"judged": row.judged, "inside": row.inside}
        found.append((tool, row.kind, row.whole, judged))
        found += [(f"{tool}:{shape}", row.kind, one, nothing) for shape, one in row.shapes.items()]
    return [
        (suffix, record.last_s, [*_flat(record), "kind", kind, *_flattened(more)])
        for suffix, kind, record, more in found
    ]


def saved(rows: Iterable[tuple[str, Fields]]) -> Saved:
    """The table that these rows are. Raises BadTable."""
    table = Saved()
    try:
        for suffix, row in rows:
            _put(table, suffix, row)
    except (KeyError, ValueError, OverflowError) as exc:
        raise BadTable(str(exc)) from exc
    return table


def _put(table: Saved, suffix: str, row: Fields) -> None:
    kind = msgspec.convert(row["kind"], Kind)
    name, colon, shape = suffix.partition(":")
    if not name:
        table.kinds[kind] = _record(row)
        return
    tool = table.tools.setdefault(unquote(name), Row(kind=kind))
    if colon:
        tool.shapes[shape] = _record(row)
    else:
        tool.whole = _record(row)
        tool.judged, tool.inside = int(row.get("judged", 0)), int(row.get("inside", 0))


def _record(row: Fields) -> Record:
    counts = {name: int(row.get(name, 0)) for name in _COUNTS}
    return Record(runs=_sketch(row, ""), failures=_sketch(row, "f"), **counts)


def _sketch(row: Fields, prefix: str) -> Sketch:
    start = f"{prefix}b"
    buckets = {
        int(name.removeprefix(start)): float(weight)
        for name, weight in row.items()
        if name.startswith(start)
    }
    found = {ours: row[prefix + name] for name, ours in _NUMBERS.items() if prefix + name in row}
    return msgspec.convert({**found, "buckets": buckets}, Sketch, strict=False)


def _flat(record: Record) -> Iterator[str]:
    for prefix, sketch in (("", record.runs), ("f", record.failures)):
        if sketch.samples:
            yield from _flattened(
                {prefix + name: getattr(sketch, its) for name, its in _NUMBERS.items()}
            )
            yield from _flattened(
                {f"{prefix}b{name}": weight for name, weight in sketch.buckets.items()}
            )
    yield from _flattened({name: getattr(record, name) for name in _COUNTS})


def _flattened(values: Mapping[str, float]) -> Iterator[str]:
    for name, value in values.items():
        yield from (name, repr(value))


def _mapped(flat: Sequence[bytes]) -> dict[str, str]:
    words = [word.decode() for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))
