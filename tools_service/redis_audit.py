"""Audit records into a Redis stream, of which the latest are kept."""

from collections.abc import Sequence

from tools_service.config import RedisConfig
from tools_service.redis_link import opened


class RedisAudit:
    """A sink. It connects for every batch, so that nothing has to be closed.

    Losing a batch is the caller's to notice: `write` raises.
    """

    def __init__(self, config: RedisConfig, *, most: int = 100_000) -> None:
        self._config = config
        self._stream = f"{{{config.prefix}}}:audit"
        self._most = most

    async def write(self, batch: Sequence[bytes]) -> None:
        """Adds records in their order, in one round trip. Raises StoreDown; then any may be in."""
        if batch:
            async with opened(self._config) as link:
                await link.append(self._stream, batch, most=self._most)
