"""The tools each tenant is offered, asked for once in a while: their lists may differ."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gateway.errors import ToolsDown
from gateway.events import ToolSpec

Specs = tuple[ToolSpec, ...]

_MOST_KEPT = 256


class ToolLists:
    """Lists at most `ttl_s` old; beyond a number of tenants the one unused longest is dropped."""

    def __init__(self, fetch: Callable[[str], Awaitable[Specs]], ttl_s: float) -> None:
        self._fetch = fetch
        self._ttl_s = ttl_s
        self._lists: OrderedDict[str, _List] = OrderedDict()

    async def get(self, tenant: str) -> Specs:
        """What the tenant is offered. Raises ToolsDown.

        However many ask at once, one request is made for a tenant, and all share its end.
        """
        kept = self._lists.setdefault(tenant, _List())
        self._lists.move_to_end(tenant)
        if len(self._lists) > _MOST_KEPT:
            self._lists.popitem(last=False)
        asked_s = _now()
        async with kept.lock:
            if kept.failure and kept.failure[0] >= asked_s:
                raise ToolsDown(kept.failure[1])
            if _now() - kept.listed_s >= self._ttl_s:
                await self._renew(kept, tenant)
            return kept.specs

    async def _renew(self, kept: "_List", tenant: str) -> None:
        try:
            try:
                kept.specs = await self._fetch(tenant)
            except ToolsDown:
                # Reading twice harms nobody, and the first try may have met a restart.
                kept.specs = await self._fetch(tenant)
        except ToolsDown as exc:
            kept.failure = (_now(), exc.message)
            raise
        kept.listed_s = _now()


class _List:
    """One tenant's list, and who is asking for it."""

    def __init__(self) -> None:
        self.specs: Specs = ()
        self.lock = asyncio.Lock()
        self.listed_s = float("-inf")
        self.failure: tuple[float, str] | None = None


def _now() -> float:
    return asyncio.get_running_loop().time()
