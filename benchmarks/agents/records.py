"""What one run leaves behind: turns and sessions as they went, in seconds and real tokens."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class TurnRecord:
    """One turn, from its arrival to its last token."""

    number: int
    came_s: float
    entered_s: float
    began_s: float
    first_s: float
    ended_s: float
    prompt: int
    answer: int
    cached: int
    kept: int
    """Of the prompt, what had been in the cache had nothing been evicted."""
    computed: int


@dataclass(slots=True)
class SessionRecord:
    """One session, from its arrival to the end of its last turn."""

    number: int
    arrived_s: float = 0.0
    ended_s: float = 0.0
    turns: list[TurnRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Play:
    """One run."""

    sessions: list[SessionRecord]
    """In the order in which they were to start."""
    ended_s: float
    full_s: float
    """Until when there was always another session to start."""
    steps: int
    preemptions: int
    set_aside: int
    evicted: dict[str, int] = field(default_factory=dict)
    """What retention counts, in blocks."""
