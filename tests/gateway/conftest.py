"""Every test of the gateway fails when its code blocks the event loop."""

from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import blockbuster_ctx

from tests.parts.redis_server import RedisServer, redis_server


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[None]:
    """A blocking call below the gateway's code raises BlockingError."""
    with blockbuster_ctx("gateway") as blockbuster:
        for function in blockbuster.functions.values():
            # Prometheus' own collector reads /proc, which answers from memory.
            function.can_block_in("process_collector.py", "collect")
            function.can_block_in("gateway/keys.py", "read")  # at the start
            function.can_block_in("redis_server.py", {"redis_server", "start"})
        yield


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """A store that gateways share."""
    async with redis_server() as server:
        yield server
