"""Bearer tokens: the shared secret itself, or short-lived ones that were signed with it.

A signed token names this service as its audience and a tenant as its subject. What it says is all
that is known of a caller; arguments and `_meta` say nothing about who somebody is.
"""

import hashlib
import hmac
import time

import jwt
from mcp.server.auth.provider import AccessToken

AUDIENCE = "roundhouse-tools"
OPERATOR = "operator"
ANYONE = "anyone"

_ALGORITHM = "HS256"
_LONGEST_S = 900  # a token that lives longer was not made for one conversation
_SKEW_S = 30  # between the clocks of two machines
_CLAIMS = ["aud", "exp", "iat", "sub"]


class Tokens:
    """Verifies tokens; a `TokenVerifier` of the SDK."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._key = derived(secret, "token")

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who shows it; None for a token that is forged, expired, or for somebody else."""
        if hmac.compare_digest(token.encode(), self._secret):
            return _known(token, OPERATOR)
        subject = self._subject(token)
        return None if subject is None else _known(token, subject)

    def _subject(self, token: str) -> str | None:
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                leeway=_SKEW_S,
                options={"require": _CLAIMS},
            )
        except jwt.InvalidTokenError:
            return None
        if claims["exp"] - time.time() > _LONGEST_S + _SKEW_S:
            return None
        return str(claims["sub"])


def derived(secret: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, the same on every replica that shares the secret."""
    return hashlib.sha256(f"roundhouse-tools {purpose}\n{secret}".encode()).digest()


def _known(token: str, subject: str) -> AccessToken:
    return AccessToken(token=token, client_id=subject, scopes=[], subject=subject)
