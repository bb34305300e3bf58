"""Broken connections: whether the next one may hold."""

import aiohttp

from tools_service.errors import ToolFailed, Transient


def failure(exc: Exception) -> type[ToolFailed]:
    """The failure to make of an error of aiohttp's. A certificate is no better the second time."""
    broken = isinstance(exc, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError))
    return Transient if broken and not isinstance(exc, aiohttp.ClientSSLError) else ToolFailed
