"""How often failed requests may be sent again: a share of all, over all gateways together."""

import asyncio

from gateway.config import FailuresConfig
from gateway.store import Bucket, Store

SETTLE_S = 0.5
_KEY = "retries"


class Retries:
    """Every request earns a part of a retry; a quiet time saves up a burst of them, no more.

    When everything fails, retries of all clients together add no more than that share to the load.
    What is earned is kept here and put into the store every `SETTLE_S`: a request that does well
    never waits for it. One that has failed asks the store, so that no retry is granted twice.
    """

    def __init__(self, config: FailuresConfig, store: Store) -> None:
        self._ratio = config.retry_ratio
        self._are_wanted = bool(config.retry_ratio or config.retry_burst)
        # Without a burst a whole retry must still be saved up somewhere.
        self._bucket = Bucket(rate=0.0, burst=max(float(config.retry_burst), 1.0))
        self._store = store
        self._earned = 0.0

    def earn(self) -> None:
        """Count a request."""
        self._earned = min(self._bucket.burst, self._earned + self._ratio)

    async def spend(self) -> bool:
        """Take one retry; false when there is none."""
        if not self._are_wanted:
            return False
        await self.settle()
        return await self._store.spend(_KEY, 1.0, self._bucket, owed=False) == 0.0

    async def settle(self) -> None:
        """Put what was earned where the other gateways find it."""
        earned, self._earned = self._earned, 0.0
        if earned:
            await self._store.spend(_KEY, -earned, self._bucket, owed=True)

    async def settling(self) -> None:
        """Settle again and again; ends never."""
        while True:
            await asyncio.sleep(SETTLE_S)
            await self.settle()
