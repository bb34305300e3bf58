"""The tokens shown to the tools service: each says which tenant a call is for, for minutes.

They are signed with the secret both sides share and name the service as their audience, so that
nothing else accepts them and the service needs to believe nobody's word but the gateway's.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

import jwt

AUDIENCE = "roundhouse-tools"

_ALGORITHM = "HS256"
_LIFE_S = 300
_RENEW_S = 120  # a call may wait that long before it shows its token
_MOST_KEPT = 1024


class Tokens:
    """Tokens by tenant, made anew before they expire."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        # The service derives the same key: the secret itself signs nothing, it is shown.
        self._key = hashlib.sha256(f"{AUDIENCE} token\n{secret}".encode()).digest()
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def header(self, tenant: str) -> str:
        """What to send as `authorization`."""
        now = self._clock()
        expires, header = self._kept.get(tenant, (0.0, ""))
        if expires - now < _RENEW_S:
            expires, header = now + _LIFE_S, f"Bearer {self._sign(tenant, now)}"
            self._kept[tenant] = expires, header
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(tenant)
        return header

    def _sign(self, tenant: str, now: float) -> str:
        claims = {
            "aud": AUDIENCE,
            "iss": "roundhouse-gateway",
            "sub": tenant,
            "iat": int(now),
            "exp": int(now) + _LIFE_S,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)
