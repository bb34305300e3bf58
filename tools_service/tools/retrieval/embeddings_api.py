"""Vectors from any server that speaks OpenAI's `/v1/embeddings`, the gateway's own included."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import msgspec

from tools_service.errors import RateLimited, ToolFailed, Transient
from tools_service.retrieval_config import EmbedderConfig
from tools_service.tools.connection import body
from tools_service.tools.patience import retry_after_s
from tools_service.tools.retrieval.embedder import Matrix, unit

_LARGEST = 64 * 1024 * 1024
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0

Pause = Callable[[float], Awaitable[None]]


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Reply(msgspec.Struct):
    data: list[_Item]


class _Unavailable(Transient):
    """Worth another try. `retry_after_s` is the server's own word, None if it gave none."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class EmbeddingsApi:
    """One model of one server. The address is the operator's; no model chose it."""

    upstream: str | None = "embeddings"

    def __init__(
        self,
        http: aiohttp.ClientSession,
        config: EmbedderConfig,
        key: str,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.space = f"api:{config.model}"
        self._http = http
        self._config = config
        self._url = f"{(config.url or '').rstrip('/')}/embeddings"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pause = pause

    async def embed(self, texts: Sequence[str]) -> Matrix:
        rows: list[list[float]] = []
        for start in range(0, len(texts), self._config.batch):
            rows += await self._insist(texts[start : start + self._config.batch])
        return unit(rows)

    async def _insist(self, batch: Sequence[str]) -> list[list[float]]:
        """Asks again, later and later, while the server is overloaded or away."""
        for attempt in range(1, self._config.attempts + 1):
            try:
                return await self._ask(batch)
            except (RateLimited, _Unavailable) as exc:
                wait_s = exc.retry_after_s
                if wait_s is None:
                    wait_s = _FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                if attempt == self._config.attempts or wait_s > _LONGEST_PAUSE_S:
                    raise
            await self._pause(wait_s)
        raise AssertionError("attempts is at least 1")

    async def _ask(self, batch: Sequence[str]) -> list[list[float]]:
        asked = {"model": self._config.model, "input": list(batch), "encoding_format": "float"}
        try:
            async with self._http.post(
                self._url, json=asked, headers=self._headers, allow_redirects=False
            ) as response:
                _check(response)
                reply = msgspec.json.decode(
                    await body(response, "the embedder", _LARGEST), type=_Reply
                )
        except TimeoutError:
            raise _Unavailable("the embedder did not answer in time") from None
        except aiohttp.ClientError as exc:
            raise _Unavailable(f"the embedder cannot be reached ({type(exc).__name__})") from exc
        except msgspec.MsgspecError as exc:
            raise ToolFailed("the embedder gave an answer that is not OpenAI's JSON") from exc
        ordered = sorted(reply.data, key=lambda item: item.index)
        if [item.index for item in ordered] != list(range(len(batch))):
            raise ToolFailed("the embedder left out some of the vectors")
        return [item.embedding for item in ordered]


def _check(response: aiohttp.ClientResponse) -> None:
    """Raises RateLimited or _Unavailable where another try may help, else ToolFailed."""
    wait_s = retry_after_s(response.headers.get("retry-after"), time.time())
    if response.status == 429:
        raise RateLimited("the embedder", wait_s)
    if response.status >= 500:
        raise _Unavailable(f"the embedder answered with HTTP status {response.status}", wait_s)
    if response.status != 200:
        hint = {401: ": check its key", 404: ": check its url and model"}.get(response.status, "")
        raise ToolFailed(f"the embedder answered with HTTP status {response.status}{hint}")
