"""Who may ask, and on what terms: bearer keys, and the operator's."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping

import msgspec

from gateway.errors import Unauthorized
from gateway.keys import Terms, decode, digest
from gateway.store import Store

logger = logging.getLogger(__name__)

ANYONE = "anyone"
_ANYTHING = Terms()
DIGEST_CHARS = 16
_STORED_S = 10.0  # how long a key's terms from the store are believed, and that there are none
_MOST_STORED = 10_000


class Grant(msgspec.Struct, frozen=True):
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

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return not self._keys and self._store is None

    async def grant(self, authorization: str | None) -> Grant:
        """What the one may that shows this header. Raises Unauthorized."""
        if self.is_open:
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


class Admin:
    """The operator's key; without one nobody is the operator."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    @property
    def has_key(self) -> bool:
        """Whether anybody can be the operator."""
        return self._key is not None

    def admit(self, authorization: str | None) -> None:
        """Let the operator in. Raises Unauthorized."""
        shown = (authorization or "").removeprefix("Bearer ")
        if self._key is None or not hmac.compare_digest(shown.encode(), self._key.encode()):
            raise Unauthorized("show the key of ROUNDHOUSE_ADMIN_KEY, which the operator sets")

    def sign(self, text: str) -> str:
        """What only a holder of the key can have written below the text."""
        return hmac.new((self._key or "").encode(), text.encode(), hashlib.sha256).hexdigest()


def tenant_of(key: str) -> str:
    """The name of the tenant that has this key."""
    return digest(key)[:DIGEST_CHARS]
