"""Providers that only search: the pages are read by ourselves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from tools_service.tools.providers.provider import Hit, Offer, Page, PageReader, Query


class Engine(Protocol):
    """A search engine: titles, URLs and snippets."""

    name: str
    topics: tuple[str, ...]

    async def search(self, query: Query) -> list[Hit]:
        """Raises ToolFailed."""
        ...


class WebProvider:
    """A search engine and a reader make a provider."""

    def __init__(self, engine: Engine, reader: PageReader) -> None:
        self._engine = engine
        self._reader = reader
        self.name = engine.name
        self.offer = Offer(open_world=True, topics=engine.topics)

    def shape(self, query: Query) -> str:
        return f"{query.topic}:raw" if query.include_raw_content else query.topic

    async def search(self, query: Query) -> list[Hit]:
        hits = (await self._engine.search(query))[: query.max_results]
        if not query.include_raw_content:
            return hits
        pages = await self.extract([hit.url for hit in hits])
        return [
            replace(hit, raw_content=page.text or None)
            for hit, page in zip(hits, pages, strict=True)
        ]

    async def extract(self, urls: Sequence[str]) -> list[Page]:
        return await self._reader.read_all(urls)
