"""Who may ask: bearer keys, and the operator's."""

import hashlib
import hmac
from collections.abc import Iterable

from gateway.errors import Unauthorized

ANYONE = "anyone"
DIGEST_CHARS = 16


class Access:
    """The keys clients may show; without keys everybody may ask."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(key) for key in keys)

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return not self._digests

    def tenant(self, authorization: str | None) -> str:
        """The tenant that shows this header, named by a digest of its key. Raises Unauthorized."""
        if not self._digests:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthorized(
                "no API key: send the header 'Authorization: Bearer YOUR_KEY'",
                headers={"www-authenticate": "Bearer"},
            )
        shown = _digest(key.strip())
        known = False
        for digest in self._digests:  # all of them, so that time tells nothing
            known |= hmac.compare_digest(digest, shown)
        if not known:
            raise Unauthorized(
                "this API key is not known here", headers={"www-authenticate": "Bearer"}
            )
        return shown[:DIGEST_CHARS]


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
    return _digest(key)[:DIGEST_CHARS]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
