"""SearXNG, Brave and DuckDuckGo behind the interface that Tavily has."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web
from ddgs import DDGS
from ddgs.engines import ENGINES
from ddgs.exceptions import DDGSException, RatelimitException, TimeoutException

from tests.tools_service.web_stand_ins import Api, reader, serving
from tools_service.errors import RateLimited, TimedOut, ToolFailed, Transient
from tools_service.tools.providers.brave import Brave
from tools_service.tools.providers.duckduckgo import DuckDuckGo, library
from tools_service.tools.providers.provider import Hit, Query
from tools_service.tools.providers.searxng import Searxng
from tools_service.tools.providers.web import Engine, WebProvider

Make = Callable[[aiohttp.ClientSession, str], Engine]


def searxng(http: aiohttp.ClientSession, url: str) -> Engine:
    return Searxng(http, url)


def brave(http: aiohttp.ClientSession, url: str) -> Engine:
    return Brave(http, url, "brave-key")


BOTH = pytest.mark.parametrize("make", [searxng, brave])


async def search(make: Make, api: Api, query: Query) -> list[Hit]:
    async with serving(api.handle) as url, aiohttp.ClientSession() as http:
        return await make(http, url + "/").search(query)


async def test_searxng_is_asked_for_json_in_the_topics_category() -> None:
    found = {
        "url": "https://a.example/",
        "title": "A",
        "content": None,
        "score": 1.5,
        "engine": "x",
    }
    api = Api({"query": "cats", "results": [found], "unresponsive_engines": []})
    assert await search(searxng, api, Query("cats", topic="news")) == [
        Hit("A", "https://a.example/", "", 1.5)
    ]
    assert api.requests[0].path == "/search"
    assert dict(api.requests[0].query) == {"q": "cats", "format": "json", "categories": "news"}


async def test_brave_is_asked_with_the_key_and_a_count() -> None:
    found = {"url": "https://a.example/", "title": "A &amp; B", "description": "It&#x27;s"}
    api = Api({"type": "search", "web": {"results": [found]}})
    assert await search(brave, api, Query("cats", 3)) == [
        Hit("A & B", "https://a.example/", "It's")
    ]
    assert api.requests[0].path == "/res/v1/web/search"
    assert api.requests[0].headers["X-Subscription-Token"] == "brave-key"
    assert api.requests[0].query["count"] == "3"


async def test_braves_news_are_a_path_of_their_own() -> None:
    api = Api({"results": [{"url": "https://a.example/", "title": "A", "page_age": "2026-01-01"}]})
    hits = await search(brave, api, Query("cats", topic="news"))
    assert hits == [Hit("A", "https://a.example/", "", published="2026-01-01")]
    assert api.requests[0].path == "/res/v1/news/search"


@BOTH
async def test_an_answer_without_results_is_an_empty_list(make: Make) -> None:
    assert await search(make, Api({}), Query("cats")) == []


@BOTH
@pytest.mark.parametrize("status", [301, 400, 401, 403, 422, 500, 503])
async def test_every_status_is_a_failure_that_names_it(make: Make, status: int) -> None:
    with pytest.raises(ToolFailed, match=f"HTTP status {status}") as caught:
        await search(make, Api({}, status, {"Location": "/"}), Query("cats"))
    assert isinstance(caught.value, Transient) is (status >= 500)


@BOTH
@pytest.mark.parametrize(
    ("body", "why"),
    [
        *((body, "not its JSON") for body in ("<html>", "[]", '{"results": 5, "web": 5}')),
        ("x" * 5_000_000, "is too large"),
    ],
)
async def test_what_is_not_its_json_is_a_failure_in_words(make: Make, body: str, why: str) -> None:
    with pytest.raises(ToolFailed, match=why):
        await search(make, Api(body), Query("cats"))


@BOTH
async def test_a_server_that_is_not_there_is_a_failure_in_words(make: Make) -> None:
    async with serving(Api({}).handle) as url:
        pass
    async with aiohttp.ClientSession() as http:
        with pytest.raises(Transient, match="cannot be reached"):
            await make(http, url).search(Query("cats"))


@BOTH
async def test_a_server_that_is_silent_is_given_up(make: Make) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    short = aiohttp.ClientTimeout(total=0.2)
    async with serving(silent) as url, aiohttp.ClientSession(timeout=short) as http:
        with pytest.raises(TimedOut, match="did not answer in time"):
            await make(http, url).search(Query("cats"))


@pytest.mark.parametrize(
    ("make", "headers", "wait_s"),
    [
        (searxng, {"Retry-After": "30"}, 30.0),
        (brave, {"X-RateLimit-Reset": "1, 1419704"}, 1.0),
        (brave, {}, None),
    ],
)
async def test_the_wait_an_engine_asks_for_is_kept(
    make: Make, headers: dict[str, str], wait_s: float | None
) -> None:
    with pytest.raises(RateLimited) as limited:
        await search(make, Api({}, 429, headers), Query("cats"))
    assert limited.value.retry_after_s == wait_s


async def test_searxng_without_json_says_what_to_change() -> None:
    with pytest.raises(ToolFailed, match=r"search\.formats"):
        await search(searxng, Api("", 403), Query("cats"))


class Scripted:
    """Stands for the library: gives results or raises."""

    def __init__(self, outcome: list[dict[str, str]] | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, str, int, str]] = []

    def text(self, query: str, *, max_results: int, backend: str) -> list[dict[str, str]]:
        return self._answer("text", query, max_results, backend)

    def news(self, query: str, *, max_results: int, backend: str) -> list[dict[str, str]]:
        return self._answer("news", query, max_results, backend)

    def _answer(self, kind: str, query: str, most: int, backend: str) -> list[dict[str, str]]:
        self.asked.append((kind, query, most, backend))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def test_duckduckgo_searches_the_web_and_the_news() -> None:
    web_result = {"title": "A", "href": "https://a.example/", "body": "a"}
    news_result = {"title": "B", "url": "https://b.example/", "body": "b", "date": "2026-01-01"}
    scripted = Scripted([web_result, news_result])
    engine = DuckDuckGo(lambda: scripted)
    assert await engine.search(Query("cats", 2)) == [
        Hit("A", "https://a.example/", "a"),
        Hit("B", "https://b.example/", "b", published="2026-01-01"),
    ]
    await engine.search(Query("cats", 2, topic="news"))
    engine.close()
    assert scripted.asked == [
        ("text", "cats", 2, "duckduckgo"),
        ("news", "cats", 2, "duckduckgo"),
    ]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RatelimitException("202"), RateLimited, "asks to wait"),
        (TimeoutException("timed out"), ToolFailed, "in time"),
        (DDGSException("ConnectError"), ToolFailed, "no answer that can be used"),
    ],
)
async def test_an_error_of_duckduckgo_is_a_failure_in_our_words(
    error: Exception, kind: type[ToolFailed], words: str
) -> None:
    engine = DuckDuckGo(lambda: Scripted(error))
    with pytest.raises(kind, match=words):
        await engine.search(Query("cats"))
    engine.close()


async def test_duckduckgo_that_finds_nothing_gives_an_empty_list() -> None:
    engine = DuckDuckGo(lambda: Scripted(DDGSException("No results found.")))
    assert await engine.search(Query("cats")) == []
    engine.close()


async def test_the_real_library_fails_in_our_words_when_its_proxy_refuses() -> None:
    """The proxy is on loopback, so nothing leaves the machine."""
    met: list[str] = []

    async def refuse(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        met.append((await reading.readline()).decode())
        writing.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writing.drain()
        writing.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        engine = DuckDuckGo(lambda: library(5.0, proxy))
        with pytest.raises(ToolFailed, match="no answer that can be used"):
            await engine.search(Query("cats"))
        engine.close()
    assert met
    assert all(line.startswith("CONNECT html.duckduckgo.com:443") for line in met)


def test_the_library_still_has_what_is_used_of_it() -> None:
    assert "duckduckgo" in ENGINES["text"]
    assert "duckduckgo" in ENGINES["news"]
    assert callable(DDGS.text)
    assert callable(DDGS.news)


async def test_raw_content_is_read_by_ourselves_and_a_page_that_fails_has_none() -> None:
    async def page(request: web.Request) -> web.Response:
        if request.path == "/bad":
            return web.Response(status=404)
        return web.Response(text="<title>T</title><p>All of it.", content_type="text/html")

    async with serving(page) as url:
        found = [{"title": "A", "href": f"{url}/{path}", "body": "a"} for path in ("good", "bad")]
        engine = DuckDuckGo(lambda: Scripted(found))
        provider = WebProvider(engine, reader())
        plain = await provider.search(Query("cats"))
        raw = await provider.search(Query("cats", include_raw_content=True))
        engine.close()
    assert [hit.raw_content for hit in plain] == [None, None]
    assert [hit.raw_content for hit in raw] == ["All of it.", None]
