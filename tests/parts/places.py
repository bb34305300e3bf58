"""A place in the queue, held for a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.admission import Queue, Rank


@asynccontextmanager
async def place(
    queue: Queue, deadline_s: float | None = None, rank: Rank = (0, 0)
) -> AsyncIterator[float]:
    """Hold a place among the running; gives the seconds waited."""
    waited_s = await queue.enter(deadline_s, rank)
    try:
        yield waited_s
    finally:
        queue.leave()
