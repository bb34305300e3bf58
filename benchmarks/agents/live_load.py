"""What live agents do: sessions whose contexts grow, turn by turn, with a tool call in each."""

import math
import random
from dataclasses import dataclass

from benchmarks.tools_workload import LAWS

TOOLS = ("search", "fetch", "python")
"""Of the published laws those that take long enough for others to come between."""
_SHARES = (0.5, 0.35, 0.15)
_WORDS = (
    *("agent", "answer", "block", "cache", "context", "engine", "event", "file", "gateway"),
    *("index", "model", "page", "policy", "prompt", "queue", "result", "search", "server"),
    *("session", "table", "token", "tool", "turn", "value", "worker"),
)
_RULES_WORDS = 220
_RESULT_WORDS = 12


@dataclass(frozen=True, slots=True)
class Load:
    """So many sessions, of which `live` go on at any time until none is left to begin."""

    sessions: int = 20
    live: int = 12
    requests: int = 5
    """Of a session on the mean; each makes two turns, one before and one after its tool."""
    words: int = 110
    """That a request adds on the mean."""
    pace: float = 0.4
    """Of the published run times."""
    longest_s: float = 6.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what is said, and the tool that has to be called."""

    text: str
    tool: str


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation, from its first request to its last."""

    name: str
    asks: tuple[Ask, ...]


def rules() -> str:
    """The system prompt that all sessions share."""
    return _text(random.Random(0), _RULES_WORDS)


def sessions(load: Load) -> list[Session]:
    """All sessions of a run, the same for every variant."""
    return [_session(load, f"s{load.seed}-{number}") for number in range(load.sessions)]


def _session(load: Load, name: str) -> Session:
    chance = random.Random(name)
    count = chance.randint(max(load.requests - 2, 1), load.requests + 2)
    asks = []
    for _ in range(count):
        words = max(8, round(chance.lognormvariate(math.log(load.words) - 0.08, 0.4)))
        (tool,) = chance.choices(TOOLS, _SHARES)
        asks.append(Ask(_text(chance, words), tool))
    return Session(name, tuple(asks))


def run_s(load: Load, tool: str, session: str, call: int) -> float:
    """How long a session's call takes: log-normal, and the same under every variant."""
    law = LAWS[tool]
    score = random.Random(f"{load.seed} {session} {call}").gauss()
    return min(load.pace * law.p50_s * math.exp(law.spread * score), load.longest_s)


def result(session: str, call: int) -> str:
    """What a call gives."""
    return _text(random.Random(f"{session} {call}"), _RESULT_WORDS)


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=words))
