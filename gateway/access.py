"""Who may ask: bearer keys."""

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


def tenant_of(key: str) -> str:
    """The name of the tenant that has this key."""
    return _digest(key)[:DIGEST_CHARS]


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
