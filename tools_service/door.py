"""Who comes in: the SDK's bearer check around an app, and who the caller of a request is."""

import os

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware, get_access_token
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.transport_security import TransportSecuritySettings
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

from tools_service.config import ToolsServiceConfig
from tools_service.tokens import ANYONE, AUDIENCE, Tokens, derived

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def guards(secret: str) -> list[Middleware]:
    """Around a route: lets in who shows a good token, and everybody when there is no secret."""
    if not secret:
        return []
    return [
        Middleware(AuthenticationMiddleware, backend=BearerAuthBackend(Tokens(secret))),
        Middleware(AuthContextMiddleware),
        Middleware(RequireAuthMiddleware, required_scopes=[]),
    ]


def caller() -> str:
    """Who makes the request that is handled now."""
    token = get_access_token()
    return ANYONE if token is None or token.subject is None else token.subject


def sealed(secret: str) -> RequestStateBoundary:
    """Keeps what a tool hands to the client and wants back: unread, unchanged, the same caller's.

    Replicas share the key with the secret; without one, only this process can read it.
    """
    key = derived(secret, "request state") if secret else os.urandom(32)
    return RequestStateBoundary(RequestStateSecurity(keys=[key]), default_audience=AUDIENCE)


def security(config: ToolsServiceConfig) -> TransportSecuritySettings:
    """Without the names of ours in it, the SDK answers 421 to every compose service."""
    hosts = (*_LOOPBACK, config.url_host, *config.allowed_hosts)
    return TransportSecuritySettings(
        allowed_hosts=[form for host in hosts for form in (host, f"{host}:*")],
        allowed_origins=[form for host in hosts for form in (f"http://{host}", f"http://{host}:*")],
    )
