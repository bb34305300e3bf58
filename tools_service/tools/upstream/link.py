"""The life with one upstream: connect, list, notice its end, connect again."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from tools_service.errors import UpstreamDown
from tools_service.metrics import UpstreamMetrics
from tools_service.tools.registry import Arguments, Output, Tell
from tools_service.tools.upstream.offers import Offer
from tools_service.tools.upstream.pins import Pins, PinsFile
from tools_service.tools.upstream.session import Session
from tools_service.tools.upstream.shelf import Shelf
from tools_service.upstream_config import UpstreamConfig

logger = logging.getLogger(__name__)

Connect = Callable[[Callable[[], None]], AbstractAsyncContextManager[Session]]

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0


def pause_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row; `chance` is from [0, 1).

    Doubles up to a bound, and is spread over its upper half: services that lost the same upstream
    at the same moment must not all come back at the same moment.
    """
    longest_s = min(SHORTEST_PAUSE_S * 2.0 ** min(failures, 16), LONGEST_PAUSE_S)
    return longest_s * (0.5 + chance / 2)


class Link:
    """One upstream. `keep` runs until `stop`; `call` may be called at any time."""

    def __init__(
        self,
        name: str,
        config: UpstreamConfig,
        connect: Connect,
        shelf: Shelf,
        pins: PinsFile,
        metrics: UpstreamMetrics,
    ) -> None:
        self.tried = asyncio.Event()
        """The first attempt is over, whatever came of it."""
        self._name = name
        self._config = config
        self._connect = connect
        self._shelf = shelf
        self._pins = pins
        self._metrics = metrics
        self._look = asyncio.Event()
        self._stopping = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._session: Session | None = None
        self._failures = 0
        self._metrics.up.labels(name).set(0)
        self._metrics.reconnects.labels(name)
        self._metrics.changes.labels(name)

    async def call(self, tool: str, arguments: Arguments, tell: Tell) -> Output:
        """Raises ToolFailed; UpstreamDown at once while there is no connection."""
        if self._session is None:
            raise UpstreamDown(self._name)
        return await self._session.call(tool, arguments, tell)

    async def keep(self) -> None:
        """Connects for ever, with a growing pause between failures."""
        while not self._stopping.is_set():
            try:
                await self._live()
            except Exception as exc:
                # Whatever an upstream or a transport can do wrong: only this upstream is without.
                if not self._stopping.is_set():
                    logger.warning("upstream %s is down: %s", self._name, _reason(exc))
            self.tried.set()
            await self._pause(pause_s(self._failures, random.random()))
            self._failures += 1
            self._metrics.reconnects.labels(self._name).inc()

    def stop(self) -> None:
        """Lets `keep` end soon.

        Not by cancelling its task: a second cancellation, on top of a timeout's, would break into
        the SDK's own tidying up and leave a child behind.
        """
        self._stopping.set()
        self._look.set()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """As long as connecting and listing may take; less when the service stops."""
        async with asyncio.timeout(self._config.connect_s) as self._limit:
            try:
                yield
            finally:
                self._limit = None

    async def _live(self) -> None:
        self._look.clear()
        async with AsyncExitStack() as stack:
            async with self._bounded():
                session = await stack.enter_async_context(self._connect(self._look.set))
                await self._list(session)
            since = time.monotonic()
            try:
                self._up(session)
                async with asyncio.TaskGroup() as tasks:
                    listening = tasks.create_task(session.listen())
                    await self._watch(session)
                    listening.cancel()
            finally:
                self._down(time.monotonic() - since)

    def _up(self, session: Session) -> None:
        logger.info("upstream %s is connected", self._name)
        self._session = session
        self._metrics.up.labels(self._name).set(1)
        self.tried.set()

    def _down(self, lived_s: float) -> None:
        self._session = None
        self._metrics.up.labels(self._name).set(0)
        # One that comes up only to die at once is no better than one that doesn't come up.
        if lived_s > LONGEST_PAUSE_S:
            self._failures = 0

    async def _watch(self, session: Session) -> None:
        """Lists again and again until the service stops. Raises what says that it can't be done."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.refresh_s):
                    await self._look.wait()
            if self._stopping.is_set():
                return
            self._look.clear()
            async with self._bounded():
                await self._list(session)
            # However often it calls for a look.
            await self._pause(SHORTEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _list(self, session: Session) -> None:
        everything = self._config.tools == "all"
        offers = await session.list(None if everything else frozenset(self._config.tools))
        before, after = await asyncio.to_thread(self._pins.note, self._name, offers, everything)
        self._tell(before, after)
        self._shelf.put(after, offers, self.call)

    def _tell(self, before: Pins, after: Pins) -> None:
        for name, offer in after.accepted.items():
            if name not in before.accepted:
                logger.info("upstream %s: %s is new, accepted as %s", *self._names(offer))
        for name, offer in after.changed.items():
            if before.changed.get(name) != offer:
                self._metrics.changes.labels(self._name).inc()
                logger.warning(
                    "upstream %s: %s has changed to %s and is withdrawn; "
                    "`python -m tools_service accept` accepts it",
                    *self._names(offer),
                )

    def _names(self, offer: Offer) -> tuple[str, str, str]:
        return self._name, offer.name, offer.fingerprint[:16]


def _reason(exc: BaseException) -> str:
    """The first cause in a group of them, in a line."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return f"{type(exc).__name__}: {str(exc)[:300]}"
