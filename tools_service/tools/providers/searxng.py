"""SearXNG: a metasearch instance of one's own, over its JSON interface.

The instance must allow it: `search.formats: [html, json]` in its settings.yml.
"""

import aiohttp
from msgspec import Struct, field

from tools_service.tools.providers.provider import Hit, Query
from tools_service.tools.providers.replies import Api

_HINTS = {403: ": allow `json` under search.formats in its settings.yml"}
_CATEGORIES = {"general": "general", "news": "news"}


class _Result(Struct):
    url: str
    title: str | None = None
    content: str | None = None
    score: float | None = None
    publishedDate: str | None = None


class _Reply(Struct):
    results: list[_Result] = field(default_factory=list)


class Searxng:
    """An engine for WebProvider."""

    name = "searxng"
    topics = tuple(_CATEGORIES)

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._api = Api(http, self.name, url, _HINTS)

    async def search(self, query: Query) -> list[Hit]:
        params = {"q": query.text, "format": "json", "categories": _CATEGORIES[query.topic]}
        reply = await self._api.get("/search", params, _Reply)
        return [
            Hit(found.title or "", found.url, found.content or "", found.score, found.publishedDate)
            for found in reply.results
        ]
