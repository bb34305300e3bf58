"""What gateways tell each other of sessions, through the store they share."""

from dataclasses import dataclass
from itertools import islice

from msgspec.structs import replace

from gateway.conversation import returned_ids
from gateway.identity import Claim, Identity
from gateway.sessions import Session
from gateway.store import Store

_IDS = 4  # a client returns with the results of its last turn


@dataclass(frozen=True, slots=True)
class SharedSessions:
    """Homes, and the ids of tool calls by which a session is found at another gateway."""

    store: Store
    ttl_s: float

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

    async def minted(self, identity: Identity, call_id: str) -> None:
        """Tell the others whose tool call this is, before its client can return with the result."""
        key = f"call:{identity.tenant}:{call_id}"
        await self.store.put(key, identity.session.encode(), self.ttl_s)

    async def named(self, claim: Claim) -> Claim:
        """A request that returns with the call of a session of another gateway's names it."""
        for call_id in islice(returned_ids(claim.messages), _IDS):
            found = await self.store.get(f"call:{claim.tenant}:{call_id}")
            if found is not None:
                return replace(claim, session=found.decode())
        return claim
