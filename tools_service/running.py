"""The calls that hold a slot just now, and how long each should still take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from tools_service.runtimes import Expected, Key, Table


class Run(msgspec.Struct, frozen=True):
    """One running call, for the people who look; times in seconds."""

    tool: str
    shape: str
    age_s: float
    expected_s: tuple[float, float]
    remaining_s: float
    """What it should still take, given that it has run for `age_s` already."""


class Running:
    """As many as there are slots."""

    def __init__(self, table: Table, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._began: dict[object, tuple[Key, Expected, float]] = {}

    @contextmanager
    def note(self, key: Key, expected: Expected) -> Iterator[None]:
        """Runs for as long as the block."""
        mark = object()
        self._began[mark] = (key, expected, self._clock())
        try:
            yield
        finally:
            del self._began[mark]

    def __iter__(self) -> Iterator[Run]:
        """The oldest first."""
        for key, expected, began in list(self._began.values()):
            age_s = self._clock() - began
            remaining_s = self._table.remaining(key, age_s)
            yield Run(key.tool, key.shape, age_s, expected.range_s, remaining_s)
