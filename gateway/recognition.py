"""Which session a request continues, where its client doesn't say: the index of what was answered.

A session is found by what it was told and its client repeats: ids of tool calls and of answers,
and the conversation itself. Everything is looked up beside the tenant; a forged id finds at most
another session of the same key.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from engine.types import ToolCall
from gateway.conversation import (
    Call,
    Messages,
    calls_in_text,
    chain,
    has_role,
    is_opaque,
    link,
    link_answer,
    mark,
    returned_ids,
    said_last,
    seed_of,
)
from gateway.holders import Table
from gateway.identity import By, Claim, Identity, mint
from gateway.pending import Key, PendingCalls

IDS = 32  # of a session: a client returns with the latest
ENDS = 8


@dataclass(slots=True)
class Trace:
    """What is known of one session's conversation.

    The last request had `length` messages with the digest `end`; `last` marks the last of them.
    """

    group: str | None
    begun: int | None = None
    """The digest of its first request."""
    length: int = 0
    last: int = 0
    end: int = 0
    is_pending: bool = False
    """Whether the client has not yet returned with the results of the calls it was given."""
    ids: deque[str] = field(default_factory=deque)
    ends: deque[int] = field(default_factory=deque)
    here: tuple[int, ...] = ()
    """The ends at which the session stands now."""


class Recognised(msgspec.Struct, frozen=True):
    """A request and whose it is; `digests` are its messages' where they had to be made."""

    identity: Identity
    claim: Claim
    digests: Sequence[int]
    is_linked: bool
    """Whether this is the first that is seen of a sub-agent."""


class Answered(msgspec.Struct, frozen=True):
    """The answer to a request; `text` is None where several were given."""

    id: str
    text: str | None
    calls: tuple[Call, ...]


class Recognition:
    """The index of all conversations; bounded by the table of sessions, which it serves."""

    def __init__(self) -> None:
        self._traces: dict[Key, Trace] = {}
        self._minted: dict[tuple[str, str], Key | None] = {}
        self._ends: Table[Key] = Table()
        self._pending = PendingCalls()

    def __len__(self) -> int:
        return len(self._traces)

    @property
    def entries(self) -> int:
        """How much is kept of all sessions together."""
        return len(self._minted) + len(self._ends.keys()) + self._pending.entries

    def knows(self, key: Key) -> bool:
        """Whether a client can come back to the session without naming it."""
        return key in self._traces

    def look(self, claim: Claim) -> tuple[Claim, bool]:
        """The claim, its digests made if need be, and whether it goes on from a session here."""
        if self._by_what_was_given(claim) is not None:
            return claim, True
        if claim.conversation is not None or claim.cache_key is not None or not claim.messages:
            return claim, False
        digests = chain(seed_of(claim.tenant), claim.messages)
        found, _ = self._by_conversation(claim, digests)
        return replace(claim, digests=digests), found is not None

    def forget(self, key: Key) -> None:
        """The session has ended."""
        trace = self._traces.pop(key, None)
        if trace is None:
            return
        for minted in trace.ids:
            self._drop((key[0], minted), key)
        for end in trace.ends:
            self._ends.remove(end, key)
        self._pending.clear(key)

    def _drop(self, minted: tuple[str, str], key: Key) -> None:
        if self._minted.get(minted) in (key, None):
            self._minted.pop(minted, None)

    def recognise(self, claim: Claim) -> Recognised:
        """Find the session of a request, or begin one."""
        digests = claim.digests
        session, by = self._by_what_is_said(claim)
        forked_from: Key | None = None
        if session is None and len(claim.messages) > 1:
            digests = digests or chain(seed_of(claim.tenant), claim.messages)
            found, forked_from = self._by_conversation(claim, digests)
            if found is not None:
                session, by = found[1], "prefix"
        key = (claim.tenant, session or mint())
        trace = self._traces.get(key)
        parent = claim.parent
        if trace is not None:
            self._go_on(key, trace)
            self._pending.clear(key)
        elif parent is None and claim.messages:
            asked_by = self._asked_by(claim, key, digests) or forked_from
            parent = asked_by[1] if asked_by is not None else None
        named = by in ("name", "conversation", "cache_key")
        identity = Identity(claim.tenant, key[1], claim.group, named, parent, claim.agent, by)
        is_linked = parent is not None and trace is None and bool(claim.messages)
        return Recognised(identity, claim, digests, is_linked)

    def _by_what_is_said(self, claim: Claim) -> tuple[str | None, By]:
        if claim.session is not None:
            return claim.session, "name"
        if claim.found is not None:
            return claim.found
        if (given := self._by_what_was_given(claim)) is not None:
            return given
        if claim.conversation is not None:
            return claim.conversation, "conversation"
        if claim.cache_key is not None:
            return _keyed(claim, claim.cache_key), "cache_key"
        return None, "new"

    def _by_what_was_given(self, claim: Claim) -> tuple[str, By] | None:
        for call_id in returned_ids(claim.messages):
            if (key := self._minted.get((claim.tenant, call_id))) is not None:
                return key[1], "tool_call"
        if (key := self._minted.get((claim.tenant, claim.response or ""))) is not None:
            return key[1], "response"
        return None

    def _by_conversation(
        self, claim: Claim, digests: Sequence[int]
    ) -> tuple[Key | None, Key | None]:
        """The session that stands where the request goes on, or the one it is a fork of."""
        messages = claim.messages
        answers = (at for at, message in enumerate(messages) if has_role(message, "assistant"))
        first_answer = next(answers, len(messages))
        for at in range(len(messages) - 1, 0, -1):
            holders = self._ends.get(digests[at - 1])
            key = holders.next() if holders is not None else None
            if key is None or key[0] != claim.tenant:
                continue
            follows_answer = has_role(messages[at - 1], "assistant")
            trace, end = self._traces[key], digests[at - 1]
            is_pending = trace.is_pending and end in trace.here
            if is_pending and not has_role(messages[at], "tool" if follows_answer else "assistant"):
                return None, key
            # The same first question and another answer is another conversation; but a client
            # that sends calls as text always has another answer.
            if follows_answer or first_answer < at or (is_pending and calls_in_text(messages[at])):
                return key, None
        return None, None

    def _asked_by(self, claim: Claim, key: Key, digests: Sequence[int]) -> Key | None:
        whole = digests or chain(seed_of(claim.tenant), claim.messages)

        def fits(caller: Key) -> bool:
            trace = self._traces[caller]
            if caller == key or whole[-1] == trace.begun:
                return False  # an agent that begins as the caller did is its twin, not its child
            return claim.group is None or trace.group in (None, claim.group)

        return self._pending.take(claim.tenant, said_last(claim.messages), fits)

    def _go_on(self, key: Key, trace: Trace) -> None:
        for end in trace.here:
            self._ends.go_on(end, key)
        trace.here = ()
        trace.is_pending = False

    def _mint(self, key: Key, trace: Trace, minted: str) -> None:
        """An id that is given to the session's client stands for the session from now on."""
        at = (key[0], minted)
        if self._minted.setdefault(at, key) != key:
            self._minted[at] = None  # two sessions were given it: it says nothing
            return
        trace.ids.append(minted)
        if len(trace.ids) > IDS:
            self._drop((key[0], trace.ids.popleft()), key)

    def called(self, identity: Identity, call: ToolCall) -> None:
        """The session's client is given a tool call."""
        key = (identity.tenant, identity.session)
        trace = self._trace(key, identity)
        if is_opaque(call.id, call.name):
            self._mint(key, trace, call.id)
        self._pending.add(key, call.arguments)

    def _trace(self, key: Key, identity: Identity) -> Trace:
        trace = self._traces.get(key)
        if trace is None:
            trace = self._traces[key] = Trace(identity.group)
        return trace

    def answered(self, request: Recognised, answer: Answered) -> int | None:
        """The session's client is given an answer; from here, by this digest, it goes on."""
        identity, messages = request.identity, request.claim.messages
        key = (identity.tenant, identity.session)
        trace = self._trace(key, identity)
        end = self._end(trace, request)
        self._go_on(key, trace)
        trace.begun = end if trace.begun is None else trace.begun
        trace.length, trace.last, trace.end = len(messages), mark(messages[-1]), end
        trace.is_pending = bool(answer.calls)
        here = [end]
        if answer.text is not None:
            here.append(link_answer(end, answer.text, answer.calls))
        for at in here:
            self._ends.add(at, key)
            if at in trace.ends:
                trace.ends.remove(at)
            trace.ends.append(at)
        trace.here = tuple(here)
        while len(trace.ends) > ENDS:
            self._ends.remove(trace.ends.popleft(), key)
        self._mint(key, trace, answer.id)
        return here[-1] if answer.text is not None else None

    def _end(self, trace: Trace, request: Recognised) -> int:
        """The digest of the whole request, from where the last one ended if it goes on from there.

        A turn costs what is new in it, not what the conversation is long.
        """
        if request.digests:
            return request.digests[-1]
        messages, length = request.claim.messages, trace.length
        if (
            0 < length < len(messages)
            and has_role(messages[length], "assistant")
            and mark(messages[length - 1]) == trace.last
        ):
            end = trace.end
            for message in messages[length:]:
                end = link(end, message)
            return end
        return chain(seed_of(request.claim.tenant), messages)[-1]


def _keyed(claim: Claim, cache_key: str) -> str:
    """Agents may share a cache key; those with another first question are other sessions."""
    root = _first_question(claim.messages)
    if root is None:
        return cache_key
    return f"{cache_key}/{root:016x}"


def _first_question(messages: Messages) -> int | None:
    end = None
    for message, end in _links(messages):
        if has_role(message, "user"):
            return end
    return end


def _links(messages: Messages) -> Iterator[tuple[object, int]]:
    end = 0
    for message in messages:
        end = link(end, message)
        yield message, end
