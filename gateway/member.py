"""One engine of the fleet: how it stands, and the turns that are there."""

import asyncio
from dataclasses import dataclass, field

from engine.protocol import Engine
from gateway.health import Health
from gateway.router import Standing


@dataclass(slots=True, eq=False)
class Member:
    """One engine of the fleet."""

    engine: Engine
    health: Health
    in_flight: int = 0
    claims: int = 0
    """Turns that were placed there and have not ended, those before its gate among them."""
    is_draining: bool = False
    """No new turn goes to it; sessions move when their next turn begins."""
    is_leaving: bool = False
    """It is about to sleep: no new turn goes to it."""
    ejected: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def claim(self) -> None:
        """A turn comes that it must not fall asleep under; to be released."""
        self.claims += 1

    def release(self) -> None:
        """The turn has ended."""
        self.claims -= 1
        if not self.claims:
            self._idle.set()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no turn is there; false when `timeout_s` ran out first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.claims:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

    @property
    def standing(self) -> Standing:
        """What may be sent to it now."""
        if self.engine.died.is_set():
            return Standing.DEAD
        if self.is_leaving or self.engine.load().is_asleep:
            return Standing.ASLEEP
        if self.is_draining:
            return Standing.DRAINING
        return Standing.EJECTED if self.health.is_ejected else Standing.WELL
