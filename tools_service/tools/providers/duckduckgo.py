"""DuckDuckGo through `ddgs`: no key, and no promise that it answers."""

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from ddgs import DDGS
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

from tools_service.errors import RateLimited, TimedOut, Transient
from tools_service.tools.providers.provider import Hit, Query

_THREADS = 4
_NOTHING = "No results found."


class Library(Protocol):
    """What we use of `ddgs.DDGS`; its own calls block."""

    def text(self, query: str, *, max_results: int, backend: str) -> list[dict[str, str]]: ...

    def news(self, query: str, *, max_results: int, backend: str) -> list[dict[str, str]]: ...


class DuckDuckGo:
    """An engine for WebProvider. `open` makes a client for each search: they are not shared."""

    name = "duckduckgo"
    topics: tuple[str, ...] = ("general", "news")

    def __init__(self, open: Callable[[], Library]) -> None:
        self._open = open
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ddgs")

    async def search(self, query: Query) -> list[Hit]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._ask, query)
        except RatelimitException as exc:
            raise RateLimited(self.name, None) from exc
        except TimeoutException as exc:
            raise TimedOut("duckduckgo did not answer in time") from exc
        except DDGSException as exc:
            if str(exc) == _NOTHING:
                return []
            # The library says no more: mostly it was not let in or not reached.
            raise Transient("duckduckgo gave no answer that can be used") from exc
        return [_hit(result) for result in found]

    def close(self) -> None:
        """Waits for no search: each ends within the client's own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, query: Query) -> list[dict[str, str]]:
        library = self._open()
        call = library.news if query.topic == "news" else library.text
        return call(query.text, max_results=query.max_results, backend="duckduckgo")


def library(timeout_s: float, proxy: str | None = None) -> Library:
    """The real one."""
    return DDGS(proxy=proxy, timeout=math.ceil(timeout_s))


def _hit(result: Mapping[str, str]) -> Hit:
    return Hit(
        result.get("title", ""),
        result.get("href") or result.get("url", ""),
        result.get("body", ""),
        published=result.get("date") or None,
    )
