"""Pages read by ourselves: downloaded under guard, and made text."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tools_service.errors import ToolFailed
from tools_service.tools.page import Document, readable
from tools_service.tools.providers.provider import Page

Get = Callable[[str], Awaitable[Document]]

_AT_ONCE = 4


class Reader:
    """Reads pages for a model, each as far as `longest` characters."""

    def __init__(self, get: Get, longest: int) -> None:
        self._get = get
        self._longest = longest
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self, url: str) -> Page:
        """One page. Raises ToolFailed."""
        document = await self._get(url)
        # A large page takes a while; the other calls go on.
        title, text = await asyncio.to_thread(readable, document)
        return Page(document.url, title, self._cut(text, self._longest))

    async def read_all(self, urls: Sequence[str]) -> list[Page]:
        """All pages, in the order of the URLs; one that fails says why."""
        longest = max(self._longest // max(len(urls), 1), 1000)

        async def one(url: str) -> Page:
            async with self._slots:
                try:
                    page = await self.read(url)
                except ToolFailed as exc:
                    return Page(url, "", error=str(exc))
            return Page(url, page.title, self._cut(page.text, longest))

        return await asyncio.gather(*(one(url) for url in urls))

    def _cut(self, text: str, longest: int) -> str:
        if len(text) <= longest:
            return text
        return f"{text[:longest]}\n[cut: the page goes on after {longest} characters]"
