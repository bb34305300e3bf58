"""The token ids of past turns: what a model really read and wrote, by session and conversation."""

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One turn: all its tokens are those of the turn it went on from, and its own.

    The stop token is left out: it has no KV, and `end` says which it was.
    """

    before: "Turn | None"
    own: "array[int]"
    end: int

    def tokens(self) -> list[int]:
        """Prompt and answer, from the first token on."""
        parts: list[array[int]] = []
        turn: Turn | None = self
        while turn is not None:
            parts.append(turn.own)
            turn = turn.before
        whole: list[int] = []
        for part in reversed(parts):
            whole.extend(part)
        return whole

    @property
    def size(self) -> int:
        """Bytes that this turn adds to those before it."""
        return len(self.own) * self.own.itemsize


@dataclass(slots=True)
class _Session:
    turns: dict[bytes, Turn] = field(default_factory=dict)
    size: int = 0


class TurnMemory:
    """Turns by session and by the mark of the conversation they end; bounded in bytes.

    The session unused longest goes first, whole: its turns share their tokens.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def find(self, session: str, marks: Sequence[bytes]) -> tuple[int, Turn] | None:
        """The longest beginning of a conversation that ended a turn: its messages, its turn."""
        known = self._sessions.get(session)
        if known is None:
            return None
        self._sessions.move_to_end(session)
        for count in range(len(marks) - 1, 0, -1):
            if (turn := known.turns.get(marks[count])) is not None:
                return count, turn
        return None

    def newest(self, session: str) -> Turn | None:
        """The turn that was kept last."""
        known = self._sessions.get(session)
        return next(reversed(known.turns.values()), None) if known is not None else None

    def keep(self, session: str, mark: bytes, turn: Turn) -> None:
        """Remember how a conversation stands after a turn."""
        known = self._sessions.setdefault(session, _Session())
        self._sessions.move_to_end(session)
        replaced = known.turns.pop(mark, None)
        added = turn.size - (replaced.size if replaced is not None else 0)
        known.turns[mark] = turn
        known.size += added
        self._size += added
        while self._size > self._limit:
            _, gone = self._sessions.popitem(last=False)
            self._size -= gone.size

    @property
    def size(self) -> int:
        """Bytes of all tokens."""
        return self._size
