"""What is the same for all HTTP services we ask: their size, and their broken connections."""

import aiohttp

from tools_service.errors import ToolFailed, Transient

_CHUNK = 64 * 1024


def failure(exc: Exception) -> type[ToolFailed]:
    """The failure to make of an error of aiohttp's. A certificate is no better the second time."""
    broken = isinstance(exc, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError))
    return Transient if broken and not isinstance(exc, aiohttp.ClientSSLError) else ToolFailed


async def body(response: aiohttp.ClientResponse, who: str, largest: int) -> bytes:
    """All of an answer. Raises ToolFailed when that is more than `largest` bytes."""
    found = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        found += chunk
        if len(found) > largest:
            raise ToolFailed(f"the answer of {who} is too large")
    return bytes(found)
