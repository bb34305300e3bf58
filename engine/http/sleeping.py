"""Sending a vLLM server to sleep and waking it, by the endpoints of its development mode."""

import msgspec

from engine.errors import CannotSleep, EngineFailed
from engine.http.client import Client
from engine.http.translate import from_status

OK = 200
NOT_FOUND = 404
LIMIT = 2**16
LOOK_S = 5.0
SWITCH_S = 300.0
# What other gateways have with it ends first: by default vLLM would abort it.
SLEEP = "/sleep?level=1&mode=wait"
WAKE = "/wake_up"
STATE = "/is_sleeping"


class _State(msgspec.Struct):
    is_sleeping: bool


_state = msgspec.json.Decoder(_State).decode


class Sleeping:
    """One server's sleep. Raises EngineError for whatever is wrong."""

    def __init__(self, server: str, client: Client) -> None:
        self._server = server
        self._client = client

    async def sleep(self) -> None:
        """Weights to the host's memory, KV cache dropped. Raises CannotSleep."""
        await self._order(SLEEP)
        if not await self.is_asleep():
            raise CannotSleep(
                f"{self._server} was sent to sleep and is awake: start vLLM with "
                "--enable-sleep-mode"
            )

    async def wake(self) -> None:
        """Take the memory again."""
        await self._order(WAKE)
        if await self.is_asleep():
            raise EngineFailed(f"{self._server} was woken and sleeps on")

    async def is_asleep(self) -> bool:
        """Ask. Raises CannotSleep where nobody knows of sleep."""
        status, content = await self._client.get(STATE, LIMIT, LOOK_S)
        self._check(status, content)
        try:
            return _state(content).is_sleeping
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CannotSleep(f"{self._server} does not say whether it sleeps: {error}") from error

    async def _order(self, path: str) -> None:
        async with self._client.post(path, b"", "sleep", SWITCH_S) as reply:
            self._check(reply.status, await reply.whole(LIMIT))

    def _check(self, status: int, content: bytes) -> None:
        if status == NOT_FOUND:
            raise CannotSleep(
                f"{self._server} has no {STATE}: it must be vLLM, started with "
                "VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode"
            )
        if status != OK:
            raise from_status(self._server, status, {}, content)
