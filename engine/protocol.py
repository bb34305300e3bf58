"""What every engine can do."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from prometheus_client.registry import Collector

from engine.outlook import Outlook
from engine.types import Call, EngineLoad, Event, Pool


class Generator(Protocol):
    """What writes the turns of a request."""

    name: str

    def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Generate; closing the generator aborts in the engine. Raises EngineError."""


class Sleeper(Protocol):
    """What can give up its device's memory for a while and be back sooner than by a start."""

    spare: bool
    """Whether it may sleep while the others of its model suffice."""

    async def sleep(self) -> None:
        """Move the weights to the host's memory and drop the KV cache; nothing may run.

        Raises CannotSleep, or what else kept it from it.
        """

    async def wake(self) -> None:
        """Take the memory again; whether it answers is for the caller to see.

        Raises EngineError.
        """


class Engine(Generator, Sleeper, Protocol):
    """One engine that generates, wherever it runs."""

    model: str
    """What clients call the model."""
    max_model_len: int
    """Tokens of context, prompt and answer together; 0 while it is not known."""
    weight: float
    """Its share of the work beside other engines of the same model."""
    pool: Pool | None
    """What it is tuned for."""
    takes_outlooks: bool
    """Whether it does anything with what `expect` tells it; if not, it is told nothing."""
    died: asyncio.Event
    """Set at once when the engine is gone for good."""
    collector: Collector
    """The engine's own metrics, labelled with its name."""

    async def start(self) -> None:
        """Load the model and answer a first token.

        Raises StartFailed, or NotReady when the engine may answer later without being started anew.
        """

    def load(self) -> EngineLoad:
        """What the engine does now; costs nothing, asks nobody."""

    def expect(self, outlook: Outlook) -> None:
        """Take note of what is known of a session, by `Call.session`; never waits, never raises."""

    async def check_health(self, timeout_s: float) -> None:
        """Return when the engine answers. Raises EngineDead, or TimeoutError when it hangs."""

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits; false when `timeout_s` ran out first."""

    async def close(self) -> None:
        """Stop, within the configured bound; what still runs ends with an error."""
