"""Who lives where: the programs of each engine, and the prompts it has served. Clock passed in."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Key: TypeAlias = tuple[str, str]

PREFIX_ROLES = ("system", "developer")
PREFIXES = 1024

_encode = msgspec.json.Encoder().encode


class Homes:
    """The engine of each program that was active within `active_s`, and counts of them."""

    def __init__(self, active_s: float) -> None:
        self._active_s = active_s
        self._homes: OrderedDict[Key, tuple[str, float]] = OrderedDict()
        self.programs: Counter[str] = Counter()

    def settle(self, key: Key, engine: str, now_s: float) -> None:
        """The program is active, and lives at this engine."""
        known = self._homes.get(key)
        if known is None or known[0] != engine:
            self.leave(key)
            self.programs[engine] += 1
        self._homes[key] = (engine, now_s)
        self._homes.move_to_end(key)
        # Two looks for every arrival keep the table short without ever scanning it.
        for _ in range(2):
            oldest = next(iter(self._homes))
            if self._homes[oldest][1] >= now_s - self._active_s:
                break
            self.leave(oldest)

    def give_up(self, engine: str) -> None:
        """Nobody is at home there any more."""
        for key in [key for key, (home, _) in self._homes.items() if home == engine]:
            self.leave(key)

    def leave(self, key: Key) -> None:
        """The program has ended."""
        home = self._homes.pop(key, None)
        if home is not None:
            self.programs[home[0]] -= 1


class Prefixes:
    """Which engines have lately served a system prompt with its tools."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._served: OrderedDict[bytes, dict[str, float]] = OrderedDict()

    def note(self, prefix: bytes, engine: str, now_s: float) -> None:
        """The engine serves it now."""
        self._served.setdefault(prefix, {})[engine] = now_s
        self._served.move_to_end(prefix)
        if len(self._served) > PREFIXES:
            self._served.popitem(last=False)

    def give_up(self, engine: str) -> None:
        """The engine has none any more."""
        for served in self._served.values():
            served.pop(engine, None)

    def engines(self, prefix: bytes, now_s: float) -> frozenset[str]:
        """Those that have it still, as far as can be known from here."""
        served = self._served.get(prefix, {})
        return frozenset(name for name, at_s in served.items() if at_s >= now_s - self._keep_s)


def prefix_of(body: Mapping[str, object]) -> bytes:
    """A digest of what all agents of a kind share: the tools and the leading system messages."""
    messages = body.get("messages")
    leading: list[object] = []
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") not in PREFIX_ROLES:
            break
        leading.append(message.get("content"))
    return hashlib.blake2b(_encode([body.get("tools"), leading]), digest_size=16).digest()
