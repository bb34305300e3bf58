"""How much a key may ask for, and how long one session may go on."""

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from gateway.access import Grant
from gateway.config import SessionCaps
from gateway.errors import LimitReached, SessionSpent
from gateway.sessions import Session
from gateway.store import Bucket, Lease, Store

_MINUTE_S = 60.0
_LEASE_S = 900.0  # a gateway that dies gives nothing back: its leases run out
_MOST_S = 59
_FREE: AbstractAsyncContextManager[None] = nullcontext()


class Limits:
    """Keys' budgets, in whatever store the gateways share."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def request(self, grant: Grant, session: str) -> AbstractAsyncContextManager[None]:
        """Hold what a request needs of its key's terms. Raises LimitReached when it is entered."""
        return self._held(grant, session) if grant.terms.are_limited else _FREE

    @asynccontextmanager
    async def _held(self, grant: Grant, session: str) -> AsyncGenerator[None]:
        tenant, terms = grant.tenant, grant.terms
        if terms.tokens_per_minute is not None:
            # What it will cost is not known yet: it may begin while the budget is not overdrawn.
            await self._take("tokens", tenant, terms.tokens_per_minute, amount=1e-9)
        if terms.requests_per_minute is not None:
            await self._take("requests", tenant, terms.requests_per_minute, amount=1.0)
        if terms.sessions is None:
            yield
            return
        key, lease = f"sessions:{tenant}", Lease(terms.sessions, _LEASE_S)
        until_s = await self._store.enter(key, session, lease)
        if not until_s:
            raise LimitReached(
                f"{terms.sessions} sessions of this key have a request already", retry_after_s=1
            )
        try:
            yield
        finally:
            await self._store.leave(key, session, until_s)

    async def charge(self, grant: Grant, tokens: int) -> None:
        """Take what a request has cost."""
        if (rate := grant.terms.tokens_per_minute) is not None:
            bucket = Bucket(rate / _MINUTE_S, rate)
            await self._store.spend(f"tokens:{grant.tenant}", tokens, bucket, owed=True)

    async def _take(self, what: str, tenant: str, per_minute: float, amount: float) -> None:
        bucket = Bucket(per_minute / _MINUTE_S, max(per_minute, 1.0))
        wait_s = await self._store.spend(f"{what}:{tenant}", amount, bucket, owed=False)
        if wait_s > 0:
            raise LimitReached(
                f"this key may use {per_minute:g} {what} a minute; come again in {wait_s:.0f} s",
                retry_after_s=min(max(math.ceil(wait_s), 1), _MOST_S),
            )


def check(caps: SessionCaps, clock: Callable[[], float], session: Session) -> None:
    """Stop an agent that goes round in circles. Raises SessionSpent."""
    for name, unit, used, most in (
        ("turns", "turns", session.turns, caps.turns),
        ("tokens", "tokens", session.tokens, caps.tokens),
        ("time_s", "seconds", clock() - session.started_s, caps.time_s),
    ):
        if most is not None and used >= most:
            raise SessionSpent(
                f"this session has used its {most:g} {unit}; begin a new one, "
                f"or raise gateway.sessions.caps.{name}"
            )
