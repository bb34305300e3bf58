"""Tool calls that clients have not answered yet: a new conversation about one is a sub-agent."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from gateway.holders import Table

Key: TypeAlias = tuple[str, str]
"""A session: tenant and id."""
Asked: TypeAlias = tuple[Key, str]
Anchor: TypeAlias = tuple[str, ...]

MIN_CHARS = 9  # shorter ones are words like "Berlin", which anybody says
MAX_CHARS = 2048  # longer ones count only when they are the whole of what is said
TEXT_CHARS = 2048  # looked through at each end of a longer text
ANCHOR_WORDS = 4
PER_SESSION = 32
LOOKS = 64
QUOTES = " \t\r'\"`"

_decode = msgspec.json.Decoder().decode


class PendingCalls:
    """What the agents have asked their tools, until the tools' results come.

    A text is looked up whole, and by four words in a row or by a whole line where an argument is
    only a part of it; so a look-up costs what the text is long, not how many calls are pending.
    """

    def __init__(self) -> None:
        self._whole: dict[str, Table[Asked]] = {}
        self._inside: dict[str, Table[Asked]] = {}
        self._held: dict[Key, list[tuple[Table[Asked], object, Asked]]] = {}

    @property
    def entries(self) -> int:
        """How many texts are kept."""
        return sum(len(held) for held in self._held.values())

    def add(self, caller: Key, arguments: str) -> None:
        """A session has called a tool with these arguments."""
        held = self._held.setdefault(caller, [])
        for text in _texts(arguments):
            if len(held) >= PER_SESSION:
                return
            whole = hash(text)
            if len(text) > MAX_CHARS:
                self._enter(self._whole, whole, (caller, f"{whole}"), held)
                continue
            self._enter(self._whole, whole, (caller, text), held)
            self._enter(self._inside, _anchor(text), (caller, text), held)

    def _enter(
        self,
        tables: dict[str, Table[Asked]],
        key: object,
        asked: Asked,
        held: list[tuple[Table[Asked], object, Asked]],
    ) -> None:
        table = tables.setdefault(asked[0][0], Table())
        table.add(key, asked)
        held.append((table, key, asked))

    def clear(self, caller: Key) -> None:
        """The session has gone on: its calls are answered."""
        for table, key, asked in self._held.pop(caller, ()):
            table.remove(key, asked)

    def take(self, tenant: str, text: str, fits: Callable[[Key], bool]) -> Key | None:
        """The session that asked for this in a call.

        The latest, because a sub-agent starts as soon as it is asked for; each call once while
        they last.
        """
        said = text.strip()
        if (whole := self._whole.get(tenant)) is None or len(said) < MIN_CHARS:
            return None
        asked = _latest(whole, hash(said), lambda asked: fits(asked[0]))
        if asked is None:
            asked = self._contained(tenant, said, fits)
        if asked is None:
            return None
        for table, key, other in self._held.get(asked[0], ()):
            if other == asked:
                table.go_on(key, asked)
        return asked[0]

    def _contained(self, tenant: str, said: str, fits: Callable[[Key], bool]) -> Asked | None:
        inside = self._inside[tenant] if tenant in self._inside else Table[Asked]()
        found = [
            asked
            for anchor in inside.keys() & _anchors(said)
            if (asked := _latest(inside, anchor, lambda a: a[1] in said and fits(a[0])))
        ]
        return max(found, key=lambda asked: len(asked[1]), default=None)


def _latest(table: Table[Asked], key: object, fits: Callable[[Asked], bool]) -> Asked | None:
    holders = table.get(key)
    return holders.latest(fits, LOOKS) if holders is not None else None


def _texts(arguments: str) -> Iterator[str]:
    try:
        decoded = _decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return
    if isinstance(decoded, dict):
        for value in decoded.values():
            if isinstance(value, str) and len(text := value.strip()) >= MIN_CHARS:
                yield text


def _anchor(text: str) -> Anchor:
    """Four words from the second on, because the first may carry a quote; else the whole text."""
    words = text.split(None, ANCHOR_WORDS + 1)
    if len(words) < ANCHOR_WORDS + 2:
        return (text,)
    return tuple(words[1 : ANCHOR_WORDS + 1])


def _anchors(said: str) -> set[Anchor]:
    if len(said) > 2 * TEXT_CHARS:
        said = f"{said[:TEXT_CHARS]}\n{said[-TEXT_CHARS:]}"
    words = said.split()
    found: set[Anchor] = set(zip(*(words[at:] for at in range(ANCHOR_WORDS)), strict=False))
    for line in said.splitlines():
        found |= {(line.strip(),), (line.strip(QUOTES),)}
    return found
