"""Which engine serves a request. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

KV_FULL = 0.95
# Engines whose load is so near the least are alike, and the one with the prefix is taken.
NEAR = 1.1
MOVED = "moved:"


class Standing(IntEnum):
    """What may be sent to an engine; the higher is asked only when there is no lower."""

    WELL = 0
    EJECTED = 1
    """It has failed; asked when all have, because a refusal would be no better."""
    DRAINING = 2
    ASLEEP = 3
    DEAD = 4

    @property
    def serves(self) -> bool:
        """Whether requests may be sent at all."""
        return self <= Standing.EJECTED


class Candidate(msgspec.Struct, frozen=True):
    """An engine that serves the asked model.

    `in_flight` counts this gateway's own requests, `reported` all that the engine has said to run
    or wait, `programs` the sessions at home there; `is_pressed`: it has just refused, being full.
    """

    name: str
    standing: Standing = Standing.WELL
    in_flight: int = 0
    programs: int = 0
    kv_used_ratio: float = 0.0
    is_pressed: bool = False
    has_prefix: bool = False
    weight: float = 1.0
    reported: int = 0

    @property
    def level(self) -> float:
        """How much it has to do: a program that runs counts twice, for it also computes.

        What is reported lags, but it tells of what others send there.
        """
        return (self.programs + max(self.in_flight, self.reported)) / self.weight

    @property
    def is_full(self) -> bool:
        """Whether a newcomer would take the KV blocks of others."""
        return self.is_pressed or self.kv_used_ratio >= KV_FULL


@dataclass(frozen=True, slots=True)
class Spill:
    """When a home is overloaded: more than `ratio` times the requests of the best, and `requests`
    more."""

    requests: int = 8
    ratio: float = 2.0


def pick(home: str | None, candidates: Sequence[Candidate], spill: Spill) -> Candidate | None:
    """The session's home while it is fit and not overloaded, else the best of the others.

    Only own counts, which never lag, make a session leave. None when no engine serves.
    """
    standing = min((c.standing for c in candidates), default=Standing.DEAD)
    if not standing.serves:
        return None
    usable = [c for c in candidates if c.standing is standing]
    best = _best(usable)
    for candidate in usable:
        if candidate.name == home and not _is_overloaded(candidate, best, spill):
            return candidate
    return best


def explain(
    home: str | None, picked: str, candidates: Sequence[Candidate], failed: Collection[str]
) -> str:
    """Why this one was picked, in a word; `failed` have failed for this very request."""
    if home == picked:
        return "home"
    if home is not None:
        return MOVED + ("failed" if home in failed else _unfit(home, candidates))
    if len(candidates) <= 1:
        return "only"
    has_prefix = any(c.has_prefix for c in candidates if c.name == picked)
    return "prefix" if has_prefix else "fewest_programs"


def _unfit(home: str, candidates: Sequence[Candidate]) -> str:
    for candidate in candidates:
        if candidate.name == home:
            well = candidate.standing is Standing.WELL
            return "overloaded" if well else candidate.standing.name.lower()
    return "elsewhere"


def _best(usable: Sequence[Candidate]) -> Candidate:
    """Fewest programs first: a shared prefix alone would send every agent to one engine."""
    roomy = [c for c in usable if not c.is_full] or usable
    least = min(c.level for c in roomy)
    near = [c for c in roomy if c.level <= least * NEAR]
    return min(near, key=lambda c: (not c.has_prefix, c.kv_used_ratio, c.level, c.name))


def _is_overloaded(home: Candidate, best: Candidate, spill: Spill) -> bool:
    if home.is_pressed and not best.is_pressed:
        return True
    ours, theirs = home.in_flight / home.weight, best.in_flight / best.weight
    return ours > spill.ratio * theirs + spill.requests
