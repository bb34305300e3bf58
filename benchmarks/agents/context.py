"""One session's context as an engine sees it: simulated tokens, and the names of full blocks."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from xxhash import xxh3_128_digest

BLOCK = 16
"""Simulated tokens per KV block."""

ANSWER = 5
"""The token that every answer is made of."""

_FIRST_PREFIX, _FIRST_OWN = 10, 1 << 20
_OWN = 1 << 22  # token ids of one session


@dataclass(slots=True)
class Context:
    """Prompts that begin with what was said before, and each block's name, computed once.

    A block's name covers all that goes before it, as vLLM's own do; only that it isn't computed
    again for every turn.
    """

    number: int
    """The session's, from 0: no two sessions share a token beyond the prefix."""
    prefix: int
    """Simulated tokens that all sessions begin with."""
    tokens: list[int] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)
    _made: int = 0

    def ask(self, length: int, kept: int) -> tuple[list[int], int]:
        """The next prompt, of which the first `kept` tokens were there before; and how many of it
        somebody has said before: on the first turn, the prefix."""
        if not self.tokens:
            self.tokens = list(range(_FIRST_PREFIX, _FIRST_PREFIX + min(self.prefix, length)))
            kept = len(self.tokens)
        del self.tokens[kept:]
        del self._hashes[kept // BLOCK :]
        first = _FIRST_OWN + self.number * _OWN + self._made
        self._made += length - kept
        self.tokens.extend(range(first, first + length - kept))
        return self.tokens.copy(), kept

    def answered(self, length: int) -> None:
        """The engine has said so many tokens."""
        self.tokens.extend([ANSWER] * length)

    def hash(self, done: int, tokens: Sequence[int]) -> list[bytes]:
        """The names of all full blocks behind the first `done`."""
        hashes = self._hashes
        full = len(tokens) // BLOCK
        for block in range(len(hashes), full):
            before = hashes[block - 1] if block else b""
            own = array("Q", tokens[block * BLOCK : (block + 1) * BLOCK]).tobytes()
            hashes.append(xxh3_128_digest(before + own))
        return hashes[done:full]
