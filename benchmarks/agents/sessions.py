"""What one agent's session asks of an engine, turn by turn: tokens, answers, gaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

PREFIX = 15_000
"""Tokens of tools and system prompt, the same for all sessions."""

HUMAN = "human"
"""The name of the tool that is a person at the client."""

_DECODE_RATE = 100.0  # tokens per second: a rough service time, to weigh contexts by
_LEAST_SERVICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One request, in tokens and seconds."""

    prompt: int
    answer: int
    kept: int
    """Tokens of the context before (prompt and answer) that the prompt begins with."""
    tool: str = ""
    """What the session waited for before this turn; empty for the first one."""
    gap_s: float = 0.0
    """How long it waited."""

    @property
    def context(self) -> int:
        """Tokens in the cache when the turn ends."""
        return self.prompt + self.answer


Script = tuple[Turn, ...]
"""One session's turns."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What part of recorded or generated sessions is played."""

    least_turns: int = 8
    most_turns: int = 16
    longest: int = 200_000
    """Tokens of context."""
    tool_s: float = 60.0
    """The longest gap for a tool."""
    human_s: float = 30.0
    """The longest gap for a person."""

    def cut(self, script: Sequence[Turn]) -> Script | None:
        """The part of a session that is played; None where it is too short or too long."""
        turns = script[: self.most_turns]
        if len(turns) < self.least_turns or max(turn.context for turn in turns) > self.longest:
            return None
        return tuple(
            replace(
                turn, gap_s=min(turn.gap_s, self.human_s if turn.tool == HUMAN else self.tool_s)
            )
            for turn in turns
        )


def mean_context(scripts: Sequence[Script]) -> float:
    """Tokens of a live session, averaged over its time on an engine that never waits."""
    weighed = total_s = 0.0
    for script in scripts:
        for turn, stay_s in zip(script, _stays_s(script), strict=True):
            weighed += turn.context * stay_s
            total_s += stay_s
    return weighed / total_s


def spent_s(script: Script) -> float:
    """How long a session takes on an engine that never waits."""
    return sum(_stays_s(script))


def _stays_s(script: Script) -> list[float]:
    """How long each turn and the gap behind it take."""
    gaps_s = [*(turn.gap_s for turn in script[1:]), 0.0]
    return [
        _LEAST_SERVICE_S + turn.answer / _DECODE_RATE + gap_s
        for turn, gap_s in zip(script, gaps_s, strict=True)
    ]
