"""A conversation in the form that stays when clients write it anew. Pure.

Clients re-serialise arguments, drop names and tools, say null or nothing or a list of parts for
text, and cut off a model's thoughts. What stays: roles, texts, and the ids of tool calls.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import msgspec
from xxhash import xxh3_64_intdigest

Messages: TypeAlias = Sequence[object]
Call: TypeAlias = tuple[str, str, str]
"""Id, name and arguments of a tool call."""

OPAQUE_CHARS = 9  # what Mistral's models allow for an id: 53 bits
LONG_CHARS = 24  # too long to be anything else, if the tool's name is not in it
ID_CHARS = 256
WALK = 512  # messages of one turn that are looked through for ids
THOUGHT_ENDS = "</think>"
# smolagents sends calls and results as text; the ids survive in it.
CALLS_IN_TEXT = "Calling tools:"
RESULT_IN_TEXT = "Observation"
_ID_IN_TEXT = re.compile(r"'id': '([^'\s]{1,256})'")
_USUAL = re.compile(r"chatcmpl-tool|functions?|tool_?(?:call|u)?|call|[^0-9A-Za-z]")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def text_of(content: object) -> str:
    """The text of a message, however the client says it."""
    if type(content) is str:
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(part for part in parts if isinstance(part, str))


def is_opaque(call_id: str, name: str) -> bool:
    """Whether an id is random enough to stand for one session by itself.

    Some models number their calls anew in every conversation (`functions.search:0`, `call_1`).
    """
    if len(call_id) > ID_CHARS:
        return False
    if len(call_id) >= LONG_CHARS and not (name and name in call_id):
        return True
    return len(_USUAL.sub("", call_id.replace(name, "") if name else call_id)) >= OPAQUE_CHARS


def returned_ids(messages: Messages) -> Iterator[str]:
    """Ids of tool calls the client returns with, the latest first.

    They end at the last thing a user said: what lies before it, a fork has too.
    """
    for message in islice(reversed(messages), WALK):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if role == "tool":
            if isinstance(call_id := message.get("tool_call_id"), str):
                yield call_id
        elif role == "assistant":
            yield from calls_in_text(message)
        elif role == "user" and not _is_result(message):
            return


def calls_in_text(message: object) -> list[str]:
    """Ids of calls that an assistant's message has as text."""
    if not has_role(message, "assistant") or not isinstance(message, dict):
        return []
    text = text_of(message.get("content"))
    return _ID_IN_TEXT.findall(text) if CALLS_IN_TEXT in text else []


def _is_result(message: Mapping[str, object]) -> bool:
    return text_of(message.get("content")).lstrip().startswith(RESULT_IN_TEXT)


def said_last(messages: Messages) -> str:
    """The last thing a user said."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def seed_of(tenant: str) -> int:
    """Where the chains of a tenant begin: equal conversations of two tenants have no digest in
    common."""
    return xxh3_64_intdigest(tenant.encode())


def chain(seed: int, messages: Messages) -> list[int]:
    """For every message a digest of it and all before it; equal ones are equal conversations."""
    digests = []
    for message in messages:
        seed = link(seed, message)
        digests.append(seed)
    return digests


def link(before: int, message: object) -> int:
    """The chain's next digest."""
    if not isinstance(message, dict):
        return before
    content = message.get("content")
    text = content if type(content) is str else text_of(content)
    role = message.get("role")
    if role == "assistant":
        return _link_answer(before, text, _called(message.get("tool_calls")))
    return _digest(text.strip(), _digest(f"{role}\n{message.get('tool_call_id')}", before))


def link_answer(before: int, text: str, calls: Sequence[Call]) -> int:
    """The digest of a conversation that goes on with this answer of the model."""
    return _link_answer(before, text, "\n".join(_canonical(*call) for call in calls))


def _link_answer(before: int, text: str, called: str) -> int:
    if THOUGHT_ENDS in text:
        text = text.rpartition(THOUGHT_ENDS)[2]
    return _digest(text.strip(), _digest(f"assistant\n{called}", before))


def _digest(text: str, seed: int) -> int:
    return xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed)


def mark(message: object) -> int:
    """What is cheaply seen of a message; one that a client sends again looks the same."""
    if not isinstance(message, dict):
        return 0
    text = text_of(message.get("content"))
    return hash((str(message.get("role")), str(message.get("tool_call_id")), len(text), text[-64:]))


def has_role(message: object, role: str) -> bool:
    """Whether it is a message of this role."""
    return isinstance(message, dict) and message.get("role") == role


def _called(calls: object) -> str:
    if not isinstance(calls, list):
        return ""
    return "\n".join(_canonical(*_call(call)) for call in calls if isinstance(call, dict))


def _call(call: Mapping[str, object]) -> Call:
    function = call.get("function")
    if not isinstance(function, dict):
        return str(call.get("id")), "", ""
    return str(call.get("id")), str(function.get("name")), str(function.get("arguments"))


def _canonical(call_id: str, name: str, arguments: str) -> str:
    """A call; clients shorten old arguments, so those count only where the id says too little."""
    if is_opaque(call_id, name):
        return call_id
    try:
        arguments = _encode(_decode(arguments)).decode()
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        arguments = arguments.strip()
    return f"{call_id} {name} {arguments}"
