"""Results that may be given again for a while: bounded in number and bytes, the unused one goes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tools_service.execution_config import CacheConfig

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Kept]):
    value: Kept
    size: int
    until: float


class Cache(Generic[Kept]):
    """Least recently used first. `clock` is in seconds and only grows."""

    def __init__(self, config: CacheConfig, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._entries: OrderedDict[Hashable, _Entry[Kept]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """What the values weigh, by the sizes that were given with them."""
        return self._bytes

    def get(self, key: Hashable) -> Kept | None:
        """The value, unless its time is up."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: Hashable, value: Kept, size: int, ttl_s: float) -> None:
        """Keeps a value for `ttl_s` seconds, if it is not larger than the whole cache."""
        if key in self._entries:
            self._drop(key)
        if size > self._config.bytes:
            return
        self._entries[key] = _Entry(value, size, self._clock() + ttl_s)
        self._bytes += size
        while self._bytes > self._config.bytes or len(self._entries) > self._config.entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        self._bytes -= self._entries.pop(key).size
