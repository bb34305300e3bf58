"""What a client has not seen of its own conversation, put back when it returns.

A turn that calls the client's tools and ours ends with the client's calls only; our results and
the turns before stay here until the client comes back with its own results.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from gateway.store import Store

Message: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hidden:
    """One turn that ended with calls for the client.

    `before` are the messages the client never saw; `message` is the assistant's whole message,
    whose calls have the ids `order`; `results` are our tool messages by call id.
    """

    before: tuple[Message, ...]
    message: Message
    order: tuple[str, ...]
    results: Mapping[str, Message]


class History:
    """Hidden turns by the ids of the client's calls; bounded, the oldest go first.

    Ids are looked up beside the tenant: an id forged or leaked shows nobody another's results.
    Some models number their calls anew in every conversation, so what came before must agree too.
    """

    def __init__(self, turns: int, store: Store | None = None, ttl_s: float = 0.0) -> None:
        """`store` is what other gateways find them in."""
        self._turns = turns
        self._store = store
        self._ttl_s = ttl_s
        self._hidden: OrderedDict[tuple[str, str, str], Hidden] = OrderedDict()

    @property
    def has_any(self) -> bool:
        """Whether anything can have been hidden, here or at another gateway."""
        return bool(self._hidden) or self._store is not None

    async def hide(
        self, tenant: str, client_calls: Sequence[str], hidden: Hidden, *, after: object
    ) -> None:
        """Keep what the client was not told, under the calls it was told.

        `after` is the last message of the request that the turn answered.
        """
        key = (tenant, client_calls[0], _fingerprint(after))
        self._keep(key, hidden)
        if self._store is not None:
            await self._store.put(_stored(key), msgspec.json.encode(hidden), self._ttl_s)

    def _keep(self, key: tuple[str, str, str], hidden: Hidden) -> None:
        self._hidden[key] = hidden
        while len(self._hidden) > self._turns:
            self._hidden.popitem(last=False)

    async def fetch(self, tenant: str, messages: Sequence[object]) -> None:
        """Bring what another gateway has hidden of this conversation."""
        if self._store is None:
            return
        for index, message in enumerate(messages):
            for call_id in _called(message):
                key = (tenant, call_id, _fingerprint(messages[index - 1] if index else None))
                if key in self._hidden:
                    break
                if (stored := await self._store.get(_stored(key))) is not None:
                    self._keep(key, msgspec.json.decode(stored, type=Hidden))
                    break

    def restore(self, tenant: str, messages: Sequence[object]) -> tuple[list[object], int]:
        """The conversation as the model knows it, and how many of our results came back in it."""
        whole: list[object] = []
        restored = 0
        index = 0
        while index < len(messages):
            message = messages[index]
            index += 1
            before = messages[index - 2] if index > 1 else None
            hidden = self._find(tenant, message, before)
            if hidden is None:
                whole.append(message)
                continue
            theirs: dict[str, object] = {}
            while index < len(messages) and (call := _answered(messages[index])) in hidden.order:
                theirs[str(call)] = messages[index]
                index += 1
            whole += [*hidden.before, hidden.message]
            whole += [
                result
                for call in hidden.order
                if (result := hidden.results.get(call, theirs.get(call))) is not None
            ]
            restored += len(hidden.results) + sum(m["role"] == "tool" for m in hidden.before)
        return whole, restored

    def _find(self, tenant: str, message: object, before: object) -> Hidden | None:
        for call_id in _called(message):
            key = (tenant, call_id, _fingerprint(before))
            if (hidden := self._hidden.get(key)) is not None:
                self._hidden.move_to_end(key)
                return hidden
        return None


def _called(message: object) -> Iterator[str]:
    """The ids of an assistant's calls."""
    if not isinstance(message, dict) or message.get("role") != "assistant":
        return
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            yield call["id"]


def _stored(key: tuple[str, str, str]) -> str:
    return "hidden:" + ":".join(key)


def _answered(message: object) -> str | None:
    if isinstance(message, dict) and message.get("role") == "tool":
        call = message.get("tool_call_id")
        return call if isinstance(call, str) else None
    return None


def _fingerprint(message: object) -> str:
    """What stays of a message when clients write it anew: its role, call id and text."""
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text")) for part in content if isinstance(part, dict))
    said = f"{message.get('role')}\n{message.get('tool_call_id')}\n{str(content or '').strip()}"
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()
