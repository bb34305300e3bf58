"""Audit records into a Redis stream, of which the latest are kept."""

from collections.abc import Sequence

from tools_service.redis_link import Link


class RedisAudit:
    """A place for audit records. Losing one is the caller's to notice: `write` raises."""

    def __init__(self, link: Link, prefix: str, *, most: int = 100_000) -> None:
        self._link = link
        self._stream = f"{{{prefix}}}:audit"
        self._most = most

    async def write(self, batch: Sequence[bytes]) -> None:
        """Adds records in their order, in one round trip. Raises StoreDown; then any may be in."""
        if batch:
            await self._link.append(self._stream, batch, most=self._most)
