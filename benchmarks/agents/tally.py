"""The figures of one run."""

import statistics
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from xxhash import xxh3_64_hexdigest

from benchmarks.agents.records import Play, SessionRecord, TurnRecord


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one quantity, in seconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the mean session's time went, in seconds."""

    queue_s: float
    """Before it might start, at the gate, and in the engine's queue."""
    prefill_s: float
    decode_s: float
    tool_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """One policy at one load with one seed."""

    live: int
    turns: int
    makespan_s: float
    turns_per_s: float
    """All turns over the time until the last had ended."""
    steady_turns_per_s: float
    """While there was always another session to start."""
    session_s: Spread
    """From a session's arrival to the end of its last turn."""
    parts: Parts
    first_ttft_s: Spread
    """Of first turns, from the session's arrival."""
    later_ttft_s: Spread
    """Of later turns, from their arrival."""
    worst_wait_s: float
    """From a turn's arrival until an engine step first served it."""
    cached_share: float
    """Of all prompt tokens."""
    ideal_share: float
    """The same if nothing were ever evicted."""
    amplification: float
    """Tokens computed for prompts, over those that had to be."""
    preemptions: int
    set_aside: int
    returned: int
    """Turns that found less than half of what their session had left in the cache."""
    returned_tokens: int
    """What they and others had to compute again."""
    classes_p95_s: list[float]
    """The 95th percentile of session times: of short, middle and long sessions, by tokens."""
    schedule: str
    """Digest of when every turn began, had its first token, and ended."""
    steps: int
    cpu_s: float


def tally(play: Play, live: int, cpu_s: float) -> Outcome:
    """The figures of a run with so many sessions at once."""
    turns = [turn for session in play.sessions for turn in session.turns]
    prompts = sum(turn.prompt for turn in turns)
    needed = sum(turn.prompt - turn.kept for turn in turns)
    lost = [max(turn.kept - turn.cached, 0) for turn in turns]
    times = [session.ended_s - session.arrived_s for session in play.sessions]
    steady = sum(turn.ended_s <= play.full_s for turn in turns) / play.full_s if play.full_s else 0
    return Outcome(
        live=live,
        turns=len(turns),
        makespan_s=play.ended_s,
        turns_per_s=len(turns) / play.ended_s,
        steady_turns_per_s=steady,
        session_s=_spread(times),
        parts=_parts(play.sessions),
        first_ttft_s=_spread([s.turns[0].first_s - s.arrived_s for s in play.sessions]),
        later_ttft_s=_spread([t.first_s - t.came_s for t in turns if t.number]),
        worst_wait_s=max(_waits(play.sessions)),
        cached_share=sum(turn.cached for turn in turns) / prompts,
        ideal_share=sum(turn.kept for turn in turns) / prompts,
        amplification=sum(turn.computed for turn in turns) / needed,
        preemptions=play.preemptions,
        set_aside=play.set_aside,
        returned=sum(gone > turn.kept / 2 for gone, turn in zip(lost, turns, strict=True)),
        returned_tokens=sum(lost),
        classes_p95_s=_classes(play.sessions, times),
        schedule=_digest(turns),
        steps=play.steps,
        cpu_s=cpu_s,
    )


def _digest(turns: Sequence[TurnRecord]) -> str:
    times = array("d", [s for turn in turns for s in (turn.began_s, turn.first_s, turn.ended_s)])
    return xxh3_64_hexdigest(times.tobytes())


def arriving(play: Play, live: int) -> Play:
    """The same run, had `live` sessions been there at once: under a cap that only waits longer."""
    ends = sorted(session.ended_s for session in play.sessions)
    sessions = [
        replace(session, arrived_s=ends[place - live] if place >= live else 0.0)
        for place, session in enumerate(play.sessions)
    ]
    return replace(play, sessions=sessions)


def _waits(sessions: Sequence[SessionRecord]) -> list[float]:
    return [
        turn.began_s - (turn.came_s if turn.number else session.arrived_s)
        for session in sessions
        for turn in session.turns
    ]


def _parts(sessions: Sequence[SessionRecord]) -> Parts:
    turns = [turn for session in sessions for turn in session.turns]

    def mean(seconds: Sequence[float]) -> float:
        return sum(seconds) / len(sessions)

    waits_s = _waits(sessions)
    prefill_s = [turn.first_s - turn.began_s for turn in turns]
    decode_s = [turn.ended_s - turn.first_s for turn in turns]
    tool_s = [gap for session in sessions for gap in _gaps(session.turns)]
    return Parts(mean(waits_s), mean(prefill_s), mean(decode_s), mean(tool_s))


def _gaps(turns: Sequence[TurnRecord]) -> list[float]:
    return [after.came_s - turn.ended_s for turn, after in pairwise(turns)]


def _classes(sessions: Sequence[SessionRecord], times: Sequence[float]) -> list[float]:
    by_length = sorted(range(len(sessions)), key=lambda place: (_tokens(sessions[place]), place))
    third = len(by_length) / 3
    bounds = [round(third * part) for part in range(4)]
    return [
        _quantile(sorted(times[place] for place in by_length[low:high]), 0.95)
        for low, high in pairwise(bounds)
    ]


def _tokens(session: SessionRecord) -> int:
    return sum(turn.prompt - turn.kept + turn.answer for turn in session.turns)


def _spread(values: Sequence[float]) -> Spread:
    ranked = sorted(values)
    if not ranked:
        return Spread(0.0, 0.0, 0.0, 0.0, 0.0)
    p50, p95, p99 = (_quantile(ranked, share) for share in (0.5, 0.95, 0.99))
    return Spread(statistics.fmean(ranked), p50, p95, p99, ranked[-1])


def _quantile(ranked: Sequence[float], share: float) -> float:
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)] if ranked else 0.0
