"""Which engine serves a request. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that serves the asked model; `in_flight` counts this gateway's own requests."""

    name: str
    alive: bool
    in_flight: int
    kv_used_ratio: float


def pick(home: str | None, candidates: Sequence[Candidate]) -> str | None:
    """The home of the session while it lives, else the living engine with the least to do.

    Own counts come before the engine's reports, which lag by a step; of two engines with equal
    counts the one with more free KV wins, then the first named. None when no engine lives.
    """
    living = [candidate for candidate in candidates if candidate.alive]
    if any(candidate.name == home for candidate in living):
        return home
    best = min(living, key=lambda c: (c.in_flight, c.kv_used_ratio, c.name), default=None)
    return best.name if best is not None else None
