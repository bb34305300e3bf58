"""What is known of sessions, on its way to the engine's core: in batches, one at a time."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, TypeAlias

from vllm.v1.engine.exceptions import EngineDeadError

from engine.outlook import Outlook

logger = logging.getLogger(__name__)

_MOST_WAITING = 8192
_MOST_AT_ONCE = 1024

Utility: TypeAlias = Callable[[str, list[Outlook]], Awaitable[Any]]


class Outlooks:
    """Outlooks that wait to be sent: of every session the newest only.

    While one batch is with the core, whatever comes meanwhile goes with the next. `heard` is told
    what the core answers: how retention stands.
    """

    def __init__(self, engine: str, heard: Callable[[Any], None]) -> None:
        self._engine = engine
        self._heard = heard
        self._waiting: OrderedDict[str, Outlook] = OrderedDict()
        self._some = asyncio.Event()
        self._ended = False

    def take(self, outlook: Outlook) -> None:
        """Let it wait; of too many, who has waited longest is dropped."""
        if self._ended:
            return
        self._waiting[outlook.session] = outlook
        self._waiting.move_to_end(outlook.session)
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)
        self._some.set()

    async def send(self, utility: Utility) -> None:
        """Send what comes until the core is gone, or says that it can't take it."""
        try:
            # Nothing is known at first; but a counter that is not seen at 0 has never grown.
            self._heard(await utility("agent_expect", []))
            while True:
                await self._some.wait()
                self._heard(await utility("agent_expect", self._batch()))
        except EngineDeadError:
            pass  # whoever generates is told so; here nobody waits for anything
        except Exception as error:  # a scheduler of the operator's own may know no outlooks
            logger.warning("engine '%s' takes no outlooks: %s", self._engine, error)
        finally:
            self._ended = True
            self._waiting.clear()

    def _batch(self) -> list[Outlook]:
        names = list(islice(self._waiting, _MOST_AT_ONCE))
        batch = [self._waiting.pop(name) for name in names]
        if not self._waiting:
            self._some.clear()
        return batch
