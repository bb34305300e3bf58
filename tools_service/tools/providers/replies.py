"""JSON from a search engine: asked for, checked, its errors in our words."""

import time
from collections.abc import Mapping
from typing import TypeVar

import aiohttp
import msgspec

from tools_service.errors import RateLimited, TimedOut, ToolFailed, Transient
from tools_service.tools.connection import body, failure
from tools_service.tools.patience import PASSING, retry_after_s

Reply = TypeVar("Reply")

_LARGEST = 4 * 1024 * 1024


class Api:
    """One engine's HTTP interface. It may be inside: the operator chose it, no model did."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        name: str,
        url: str,
        hints: Mapping[int, str],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`hints` say what a status of this engine usually means."""
        self._http = http
        self._name = name
        self._url = url.rstrip("/")
        self._hints = hints
        self._headers = headers or {}

    async def get(self, path: str, params: Mapping[str, str], kind: type[Reply]) -> Reply:
        """The reply as `kind`. Raises ToolFailed; Transient, RateLimited where it may pass."""
        try:
            async with self._http.get(
                self._url + path, params=params, headers=self._headers, allow_redirects=False
            ) as response:
                self._check(response)
                return msgspec.json.decode(await body(response, self._name, _LARGEST), type=kind)
        except TimeoutError:
            raise TimedOut(f"{self._name} did not answer in time") from None
        except aiohttp.ClientError as exc:
            raise failure(exc)(f"{self._name} cannot be reached ({type(exc).__name__})") from exc
        except msgspec.MsgspecError as exc:
            raise ToolFailed(f"{self._name} gave an answer that is not its JSON") from exc

    def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 429:
            # Brave says it per limit, the shortest first: "1, 1419704".
            said = response.headers.get(
                "retry-after", response.headers.get("x-ratelimit-reset", "").partition(",")[0]
            )
            raise RateLimited(self._name, retry_after_s(said, time.time()))
        if response.status != 200:
            hint = self._hints.get(response.status, "")
            kind = Transient if response.status in PASSING else ToolFailed
            raise kind(f"{self._name} answered with HTTP status {response.status}{hint}")
