"""What stays the same of a conversation however a client writes it anew."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

_DIGEST_BYTES = 16
# What a template may put before or around the messages.
_FRAME = ("tools", "tools_in_prompt", "chat_template_kwargs", "documents", "reasoning_effort")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def marks(body: Mapping[str, Any]) -> list[bytes] | None:
    """A mark for each beginning of the conversation: mark i stands for its first i messages.

    None when it holds more than text. Clients write arguments with other spaces, content as
    parts, null or not at all, and drop names, ids and reasoning; none of that moves a mark.
    """
    framed = {name: value for name in _FRAME if (value := body.get(name))}
    found = [_digest(b"", _encode(framed))]
    for message in body["messages"]:
        if (plain := _canonical(message)) is None:
            return None
        found.append(_digest(found[-1], _encode(plain)))
    return found


def extended(mark: bytes, content: str, calls: Sequence[tuple[str, str]]) -> bytes:
    """The mark after one more message of the assistant, its calls as (name, arguments)."""
    plain = ("assistant", content.strip(), [(name, _arguments(text)) for name, text in calls])
    return _digest(mark, _encode(plain))


def _digest(before: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=before, digest_size=_DIGEST_BYTES).digest()


def _canonical(message: object) -> tuple[str, str, list[tuple[str, object]]] | None:
    if not isinstance(message, Mapping):
        return None
    content = _text(message.get("content"))
    if content is None:
        return None
    return str(message.get("role")), content.strip(), list(_calls(message))


def _text(content: object) -> str | None:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return None
    texts = []
    for part in content:
        text = part if isinstance(part, str) else _part(part)
        if text is None:
            return None
        texts.append(text)
    return "".join(texts)


def _part(part: object) -> str | None:
    text = part.get("text") if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else None


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(function.get("name")), _arguments(function.get("arguments"))


def _arguments(written: object) -> object:
    if not isinstance(written, str):
        return written or {}
    try:
        return _decode(written or "{}")
    except msgspec.DecodeError:
        return written
