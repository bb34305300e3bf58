"""What gateways tell each other of sessions, through the store they share.

A session that its client does not name is found at another gateway by what it was told: ids of tool
calls and of answers, and the conversation up to its last answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import msgspec
from msgspec.structs import replace

from gateway.conversation import has_role, returned_ids
from gateway.identity import Claim, Identity
from gateway.sessions import Session
from gateway.store import Store

_IDS = 4  # a client returns with the results of its last turn
_NOBODY = b""


class _Spent(msgspec.Struct, frozen=True, array_like=True):
    """What a session has had of its caps."""

    turns: int
    tokens: int
    began_s: float
    """In Unix time: gateways' own clocks have nothing in common."""


_spent = msgspec.json.Decoder(_Spent)


@dataclass(frozen=True, slots=True)
class SharedSessions:
    """Homes, what sessions are recognised by, and what they have spent where that is capped."""

    store: Store
    ttl_s: float
    is_capped: bool = False
    clock: Callable[[], float] = time.monotonic
    """Of the sessions."""

    async def find_home(self, session: Session) -> None:
        """Where the session is at home, if another gateway has served it."""
        if session.home is None:
            home = await self.store.get(f"home:{session.tenant}:{session.id}")
            session.home = home.decode() if home is not None else None

    async def keep_home(self, session: Session) -> None:
        """Tell the others where the session is at home."""
        if session.home is not None:
            key = f"home:{session.tenant}:{session.id}"
            await self.store.put(key, session.home.encode(), self.ttl_s)

    async def catch_up(self, session: Session) -> None:
        """Count what the session has spent at other gateways."""
        if not self.is_capped:
            return
        if raw := await self.store.get(f"spent:{session.tenant}:{session.id}"):
            found = _spent.decode(raw)
            session.turns = max(session.turns, found.turns)
            session.tokens = max(session.tokens, found.tokens)
            began_s = self.clock() - (time.time() - found.began_s)
            session.started_s = min(session.started_s, began_s)

    async def keep_spent(self, session: Session) -> None:
        """Tell the others what the session has spent, before its client can return."""
        if self.is_capped:
            began_s = time.time() - (self.clock() - session.started_s)
            spent = msgspec.json.encode(_Spent(session.turns, session.tokens, began_s))
            await self.store.put(f"spent:{session.tenant}:{session.id}", spent, self.ttl_s)

    async def ended(self, tenant: str, session: str) -> None:
        """The session has ended; one that is named so again begins anew."""
        if self.is_capped:
            await self.store.put(f"spent:{tenant}:{session}", None, self.ttl_s)

    async def minted(self, identity: Identity, minted: str) -> None:
        """Tell the others whose tool call or answer this is, before its client can return."""
        key = _minted(identity.tenant, minted)
        await self.store.put(key, identity.session.encode(), self.ttl_s)

    async def stands(self, identity: Identity, end: int, *, is_pending: bool) -> None:
        """Tell the others which conversation the session has come to, by its digest, and whether
        results are due: what goes on there without them is a fork.

        Where two have come to the same one it says nothing any more.
        """
        key, session = _end(identity.tenant, end, is_pending), identity.session.encode()
        before = await self.store.get(key)
        said = session if before in (None, session) else _NOBODY
        await self.store.put(key, said, self.ttl_s)

    async def found(self, claim: Claim) -> Claim:
        """The claim of a request that goes on from a session of another gateway says so."""
        tenant = claim.tenant
        for call_id in islice(returned_ids(claim.messages), _IDS):
            if session := await self.store.get(_minted(tenant, call_id)):
                return replace(claim, found=(session.decode(), "tool_call"))
        if claim.response is not None and (
            session := await self.store.get(_minted(tenant, claim.response))
        ):
            return replace(claim, found=(session.decode(), "response"))
        key = _gone_on_from(claim)
        if key is not None and (session := await self.store.get(key)):
            return replace(claim, found=(session.decode(), "prefix"))
        return claim


def _gone_on_from(claim: Claim) -> str | None:
    """Where the session stood that goes on behind the last answer of the conversation."""
    messages = claim.messages
    for at in range(min(len(messages), len(claim.digests)) - 1, 0, -1):
        if has_role(messages[at - 1], "assistant"):
            is_pending = has_role(messages[at], "tool")
            return _end(claim.tenant, claim.digests[at - 1], is_pending)
    return None


def _minted(tenant: str, minted: str) -> str:
    return f"call:{tenant}:{minted}"


def _end(tenant: str, end: int, is_pending: bool) -> str:
    return f"{'due' if is_pending else 'end'}:{tenant}:{end:016x}"
