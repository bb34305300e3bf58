"""Who a key stands for, where several may share it."""

from collections.abc import Callable, Hashable, KeysView
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Generic, TypeVar

H = TypeVar("H", bound=Hashable)


@dataclass(slots=True)
class Holders(Generic[H]):
    """Those who wait at a key, and those that have gone on from it, each in order of coming.

    Agents with equal prompts and equal answers are equal until they differ. One that returns is
    taken for one of those that still wait, so that as many come out as went in.
    """

    waiting: dict[H, None] = field(default_factory=dict)
    gone: dict[H, None] = field(default_factory=dict)

    def next(self) -> H | None:
        """Whom the key stands for now: who waits longest, else who went on last."""
        return next(iter(self.waiting), None) or next(reversed(self.gone), None)

    def latest(self, fits: Callable[[H], bool], looks: int) -> H | None:
        """Who came last of those that fit, found within so many looks."""
        latest = chain(reversed(self.waiting), reversed(self.gone))
        return next((holder for holder in islice(latest, looks) if fits(holder)), None)


class Table(Generic[H]):
    """Holders by key; a key without holders is not kept."""

    def __init__(self) -> None:
        self._by_key: dict[object, Holders[H]] = {}

    def keys(self) -> KeysView[object]:
        """All keys."""
        return self._by_key.keys()

    def get(self, key: object) -> Holders[H] | None:
        """The holders of a key."""
        return self._by_key.get(key)

    def add(self, key: object, holder: H) -> None:
        """Let it wait at the key."""
        holders = self._by_key.get(key)
        if holders is None:
            holders = self._by_key[key] = Holders()
        holders.gone.pop(holder, None)
        holders.waiting[holder] = None

    def go_on(self, key: object, holder: H) -> None:
        """It no longer waits at the key, but is still known there."""
        holders = self._by_key.get(key)
        if holders is not None and holder in holders.waiting:
            del holders.waiting[holder]
            holders.gone[holder] = None

    def remove(self, key: object, holder: H) -> None:
        """Forget it there."""
        holders = self._by_key.get(key)
        if holders is None:
            return
        holders.waiting.pop(holder, None)
        holders.gone.pop(holder, None)
        if not (holders.waiting or holders.gone):
            del self._by_key[key]
