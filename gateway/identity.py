"""Who a request belongs to: session, agent group, tenant. Pure; identity is never authority."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import BadRequest

MAX_BYTES = 256
BODY_NAMES = ("session_id", "prompt_cache_key")


@dataclass(frozen=True, slots=True)
class Identity:
    """Names given by the client, or a fresh session when it gave none.

    `tenant` is a digest of the API key: the same session id under two keys is two sessions.
    """

    tenant: str
    session: str
    group: str | None
    named: bool
    """Whether the client named the session, and so will come back to it."""


def identify(
    tenant: str,
    headers: Mapping[str, str],
    body: Mapping[str, object],
    session_headers: tuple[str, ...],
    group_headers: tuple[str, ...],
) -> Identity:
    """Name the session: the first known header, then the body's `session_id`, then its
    `prompt_cache_key` (requests that share a prefix go where it is cached), then a new one.

    Header first, as vLLM does. Raises BadRequest for an id that is empty, too long or unprintable.
    """
    session = _first(headers, session_headers)
    for name in BODY_NAMES:
        if session is None:
            session = _checked(name, body.get(name))
    return Identity(
        tenant=tenant,
        session=session or f"new-{secrets.token_hex(12)}",
        group=_first(headers, group_headers),
        named=session is not None,
    )


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = headers.get(name)
        if value is not None:
            return _checked(name, value)
    return None


def _checked(name: str, value: object) -> str | None:
    if value is None:
        return None
    # ASCII, because the answer repeats the session in a header.
    if not isinstance(value, str) or not value or not (value.isascii() and value.isprintable()):
        raise BadRequest(f"'{name}' must be a non-empty string of printable ASCII", param=name)
    if len(value) > MAX_BYTES:
        raise BadRequest(f"'{name}' must be at most {MAX_BYTES} bytes long", param=name)
    return value
