"""Recorded requests of real clients, replayed in random order: is each conversation found?"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from engine.types import Delta, Finished, ToolCall, Usage
from gateway.conversation import text_of
from gateway.identity import Claim
from gateway.recognition import Recognition
from gateway.visit import Visit

Message: TypeAlias = Mapping[str, Any]
CALL_IN_TEXT = re.compile(r"'id': '([^']+)'.*?'name': '([^']+)'")
RESULT = "Observation"


class Recorded(msgspec.Struct):
    """One request: the client's name and what it sent."""

    case: str
    messages: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a replay."""

    requests: int
    conversations: int
    found: int
    split: int
    merged: int
    sub_agents: int
    linked: int
    linked_elsewhere: int
    """Sub-agents linked to another client's agent, where both asked for the same in one moment."""
    by: Counter[str]


def read(path: Path) -> list[Recorded]:
    """The recorded requests, one JSON object a line."""
    decode = msgspec.json.Decoder(Recorded).decode
    return [decode(line) for line in path.read_text().splitlines()]


def replay(recorded: Sequence[Recorded], seed: int | None) -> Verdict:
    """Play them in an order that mixes the clients at random but keeps each one's own.

    Without a seed in the order in which they were recorded.
    """
    recognition, by = Recognition(), Counter[str]()
    sessions: dict[str, set[str]] = defaultdict(set)
    conversations: dict[str, set[str]] = defaultdict(set)
    case_of: dict[str, str] = {}
    parents: dict[str, tuple[str, str]] = {}
    order = list(recorded if seed is None else _mixed(recorded, random.Random(seed)))
    given: set[str] = set()
    for at, request in enumerate(order):
        visit = Visit(recognition, Claim("tenant", messages=request.messages), f"answer-{at:08}")
        who, truth = visit.identity, _truth(request)
        by[who.by] += 1
        case_of[who.session] = request.case
        sessions[who.session].add(truth)
        conversations[truth].add(who.session)
        if who.parent is not None and visit.is_linked:
            parents[truth] = (request.case, case_of[who.parent])
        following = next((later for later in order[at + 1 :] if _truth(later) == truth), None)
        _answer(visit, following.messages[len(request.messages) :] if following else (), given)
    return Verdict(
        requests=len(order),
        conversations=len(conversations),
        found=len(sessions),
        split=sum(len(found) > 1 for found in conversations.values()),
        merged=sum(len(true) > 1 for true in sessions.values()),
        sub_agents=sum(_is_sub_agent(truth) for truth in conversations),
        linked=sum(_is_sub_agent(truth) for truth in parents),
        linked_elsewhere=sum(child != parent for child, parent in parents.values()),
        by=by,
    )


def _mixed(recorded: Sequence[Recorded], chance: random.Random) -> Iterator[Recorded]:
    waiting: dict[str, list[Recorded]] = defaultdict(list)
    for request in recorded:
        waiting[request.case].append(request)
    while waiting:
        case = chance.choice(list(waiting))
        yield waiting[case].pop(0)
        if not waiting[case]:
            del waiting[case]


def _answer(visit: Visit, told: Sequence[Message], given: set[str]) -> None:
    """What was answered is seen in the conversation's next request."""
    for message in told[:1]:
        for index, (call_id, name, arguments) in enumerate(_calls(message)):
            if call_id not in given:
                given.add(call_id)
                visit.hear(ToolCall(0, index, call_id, name, arguments))
        if not CALL_IN_TEXT.search(text_of(message.get("content"))):
            visit.hear(Delta(0, text_of(message.get("content"))))
    if not told:
        visit.hear(Delta(0, f"the end of {id(visit)}"))
    visit.hear(Finished(Usage(1, 1)))


def _calls(message: Message) -> Iterator[tuple[str, str, str]]:
    for call in message.get("tool_calls") or ():
        yield call["id"], call["function"]["name"], call["function"]["arguments"]
    for call_id, name in CALL_IN_TEXT.findall(text_of(message.get("content"))):
        yield call_id, name, "{}"


def _truth(request: Recorded) -> str:
    """Which conversation it is: told by the client, its system prompt and its questions."""
    messages = request.messages
    asked = [
        text_of(message.get("content"))
        for message in messages
        if message["role"] == "user" and not text_of(message.get("content")).startswith(RESULT)
    ]
    system = text_of(messages[0].get("content")) if messages[0]["role"] == "system" else ""
    if request.case.startswith("smol"):
        return request.case  # its last request has another system prompt
    if "fork" in request.case:
        which = f"{asked[-1][-20:]}{len(asked)}" if "SUB" in system else "main"
        return f"{request.case}|{which}|{'sub' if 'SUB' in system else 'main'}"
    return f"{request.case}|{asked[0]}|{'sub' if _started_by_another(request, asked) else 'main'}"


def _started_by_another(request: Recorded, asked: Sequence[str]) -> bool:
    return "deep" in request.case and asked[0].startswith("research topic")


def _is_sub_agent(truth: str) -> bool:
    return truth.endswith("|sub")
