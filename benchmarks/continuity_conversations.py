"""Conversations with tool calls to replay: some of ours, or recorded ones from a file."""

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]


def read(path: Path) -> list[list[Message]]:
    """Recorded conversations: a JSON list of objects with OpenAI chat messages under `traj`.

    Raises ValueError, with what to give instead, for anything else.
    """
    try:
        data = path.read_bytes()
        recorded = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ValueError(
            f"--trajectories {path}: {error}; give a JSON file, plain or as .gz"
        ) from error
    if not isinstance(recorded, list) or not recorded:
        raise ValueError(f"--trajectories {path}: give a list of objects with `traj`")
    return [_conversation(path, number, entry) for number, entry in enumerate(recorded)]


def _conversation(path: Path, number: int, entry: object) -> list[Message]:
    messages = entry.get("traj") if isinstance(entry, dict) else None
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and "role" in message and "content" in message
        for message in messages
    ):
        raise ValueError(
            f"--trajectories {path}: entry {number} needs `traj`, a list of messages "
            "with role and content"
        )
    return messages


def _asked(text: str) -> Message:
    return {"role": "user", "content": text}


def _said(text: str | None, *calls: tuple[str, dict[str, Any]]) -> Message:
    made = [
        {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for name, arguments in calls
    ]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return message | {"tool_calls": made} if made else message


def _told(text: str) -> Message:
    return {"role": "tool", "content": text}


TRAVEL: Sequence[Message] = (
    {"role": "system", "content": "You plan journeys.\n\nAsk before you book anything."},
    _asked("Find me a night train from Köln to Zürich on 3 May — quiet, please."),
    _said(None, ("trains", {"from": "Köln", "to": "Zürich", "on": "2026-05-03", "night": True})),
    _told('[{"id": "NJ 403", "leaves": "23:12", "price": 79.9}]'),
    _said("There is the NJ 403 at 23:12 for 79.90 €.\n\nShall I look for a quiet cabin?  "),
    _asked("Yes. And what is the weather there?"),
    _said(
        "I look at both.",
        ("cabins", {"train": "NJ 403", "wish": {"quiet": True, "beds": [1, 2], "near": None}}),
        ("weather", {"at": "Zürich"}),
    ),
    _told('{"cabin": 12, "beds": 1}'),
    _told("14 °C, light rain 🌧"),
    _said('Cabin 12 is free; it will rain a little. Say "book" and I do.'),
    _asked("book"),
    _said(None, ("book", {"train": "NJ 403", "cabin": 12, "price": 79.9, "note": 'bed "A"\n'})),
    _told("booked"),
    _said("Done. 一路平安!"),
)

FILES: Sequence[Message] = (
    _asked("How many lines has notes/plan.md?"),
    _said(None, ("read", {"path": "notes/plan.md"})),
    _told("# Plan\n\n- walls\n- roof\n"),
    _said("Four lines."),
    _asked("Add a line for the door, and one for the window."),
    _said(None, ("write", {"path": "notes/plan.md", "lines": ["# Plan", "", "- walls", "- door"]})),
    _told("ok"),
    _said(None, ("write", {"path": "notes/plan.md", "append": "- window <small>\n"})),
    _told("ok"),
    _said("\nBoth are in the plan now.\n"),
    _asked("Thanks!"),
    _said("You are welcome."),
)

OURS: Sequence[Sequence[Message]] = (TRAVEL, FILES)
