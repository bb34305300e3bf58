"""Who may ask, and on what terms: bearer keys."""

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.errors import Unauthorized
from gateway.keys import Terms, decode, digest
from gateway.store import Store

logger = logging.getLogger(__name__)

ANYONE = "anyone"
_ANYTHING = Terms()
DIGEST_CHARS = 16
_STORED_S = 10.0  # how long a key's terms from the store are believed, and that there are none
_MOST_STORED = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """A tenant, named by a digest of its key, and what it may."""

    tenant: str
    terms: Terms = _ANYTHING


class Access:
    """The keys clients may show; without any, everybody may ask.

    With a store, keys may also be kept there: `key:` and the digest, the terms as JSON.
    """

    def __init__(
        self,
        keys: Mapping[str, Terms],
        store: Store | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`keys` are the terms by digest."""
        self._keys = dict(keys)
        self._store = store
        self._clock = clock
        self._stored: dict[str, tuple[Terms | None, float]] = {}

    async def grant(self, authorization: str | None) -> Grant:
        """What the one may that shows this header. Raises Unauthorized."""
        if not self._keys and self._store is None:
            return Grant(ANYONE)
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized(
                "no API key: send the header 'Authorization: Bearer YOUR_KEY'",
                headers={"www-authenticate": "Bearer"},
            )
        shown = digest(key.strip())
        terms = self._known(shown) or await self._from_store(shown)
        if terms is None:
            raise Unauthorized(
                "this API key is not known here", headers={"www-authenticate": "Bearer"}
            )
        return Grant(shown[:DIGEST_CHARS], terms)

    def _known(self, shown: str) -> Terms | None:
        found = None
        for known, terms in self._keys.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(known, shown):
                found = terms
        return found

    async def _from_store(self, shown: str) -> Terms | None:
        if self._store is None:
            return None
        terms, until = self._stored.get(shown, (None, 0.0))
        if self._clock() < until:
            return terms
        stored = await self._store.get(f"key:{shown}")
        terms = decode(stored) if stored is not None else None
        if stored is not None and terms is None:
            logger.error("the terms of key %s in the store can't be read", shown[:DIGEST_CHARS])
        if len(self._stored) >= _MOST_STORED:
            self._stored.clear()
        self._stored[shown] = (terms, self._clock() + _STORED_S)
        return terms


def tenant_of(key: str) -> str:
    """The name of the tenant that has this key."""
    return digest(key)[:DIGEST_CHARS]
