"""Brave Search, over its HTTP interface and with a key."""

import html
from collections.abc import Sequence

import aiohttp
from msgspec import Struct, field

from tools_service.tools.providers.provider import Hit, Query
from tools_service.tools.providers.replies import Api

URL = "https://api.search.brave.com"

_HINTS = {
    401: ": the key is not accepted",
    403: ": the key's plan does not allow this",
    422: ": the key or the query is not accepted",
}
_MOST_RESULTS = 20


class _Result(Struct):
    url: str
    title: str = ""
    description: str | None = None
    page_age: str | None = None


class _Web(Struct):
    results: list[_Result] = field(default_factory=list)


class _WebReply(Struct):
    web: _Web | None = None


class Brave:
    """An engine for WebProvider."""

    name = "brave"
    topics: tuple[str, ...] = ("general", "news")

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        headers = {"X-Subscription-Token": key, "Accept": "application/json"}
        self._api = Api(http, self.name, url, _HINTS, headers)

    async def search(self, query: Query) -> list[Hit]:
        params = {
            "q": query.text,
            "count": str(min(query.max_results, _MOST_RESULTS)),
            "text_decorations": "0",
        }
        found: Sequence[_Result]
        if query.topic == "news":
            found = (await self._api.get("/res/v1/news/search", params, _Web)).results
        else:
            reply = await self._api.get("/res/v1/web/search", params, _WebReply)
            found = reply.web.results if reply.web else ()
        return [
            Hit(
                html.unescape(result.title),
                result.url,
                html.unescape(result.description or ""),
                published=result.page_age,
            )
            for result in found
        ]
