"""Tavily, with the real library against a server that speaks Tavily's HTTP."""

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import tavily.errors
from tavily import AsyncTavilyClient

from tests.tools_service.fake_tavily import ERROR_TEXT, FakeTavily
from tests.tools_service.web_stand_ins import serving
from tools_service.errors import RateLimited, ToolFailed, Transient
from tools_service.tools.providers.provider import Hit, Page, Query
from tools_service.tools.providers.tavily import ERRORS, Tavily, connected


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library obeys the environment's proxies; a test stays on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TAVILY_API_KEY", "tvly-of-somebody-else")


@asynccontextmanager
async def speaking(fake: FakeTavily, key: str = "tvly-key") -> AsyncIterator[Tavily]:
    async with serving(fake.handle) as url, connected(url, key, 5.0) as provider:
        yield provider


async def test_a_search_sends_the_key_and_every_parameter() -> None:
    fake = FakeTavily()
    query = Query("cats", 2, topic="news", include_raw_content=True, search_depth="advanced")
    async with speaking(fake) as provider:
        hits = await provider.search(query)
    hit = Hit("About cats", "https://site.example/page", "What it says.", 0.9, None, "All of it.")
    assert hits == [hit, hit]
    assert fake.headers[0]["authorization"] == "Bearer tvly-key"
    assert fake.bodies[0] == {
        **{"query": "cats", "max_results": 2, "topic": "news"},
        **{"include_raw_content": True, "search_depth": "advanced"},
    }


async def test_without_a_key_it_asks_as_the_library_asks_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeTavily()
    async with speaking(fake, key="") as provider:
        await provider.search(Query("cats"))
    monkeypatch.delenv("TAVILY_API_KEY")
    async with serving(fake.handle) as url, AsyncTavilyClient(api_base_url=url) as theirs:
        await theirs.search("cats")
    ours, its = ({k: v for k, v in sent.items() if k[:2] == "x-"} for sent in fake.headers)
    assert ours == its
    assert ours["x-tavily-access-mode"] == "keyless"
    assert not any("authorization" in sent for sent in fake.headers)


async def test_extract_tells_what_could_not_be_read() -> None:
    async with speaking(FakeTavily()) as provider:
        pages = await provider.extract(["https://a.example/", "https://bad.example/"])
    assert pages == [
        Page("https://a.example/", "", "Text of https://a.example/"),
        Page("https://bad.example/", "", error="404"),
    ]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (400, "does not accept these arguments"),
        (401, "does not accept the key"),
        (403, "the plan or its limit"),
        (432, "the plan or its limit"),
        (433, "the plan or its limit"),
        (404, "HTTP status 404"),
        (422, "HTTP status 422"),
        (500, "HTTP status 500"),
        (502, "HTTP status 502"),
        (201, "not its JSON"),
        (302, "HTTP status 302"),
        ("<html>", "not its JSON"),
        ("[]", "not its JSON"),
        ('{"results": [{"url": 5}]}', "not its JSON"),
        ("hang up", "cannot be reached"),
    ],
)
@pytest.mark.parametrize("key", ["tvly-key", ""])
async def test_every_failure_is_one_in_our_words(mode: int | str, words: str, key: str) -> None:
    passes = mode in (500, 502, "hang up")
    async with speaking(FakeTavily(mode), key) as provider:
        with pytest.raises(ToolFailed, match=words) as searching:
            await provider.search(Query("cats"))
        with pytest.raises(ToolFailed, match=words):
            await provider.extract(["https://a.example/"])
    assert ERROR_TEXT not in str(searching.value)
    assert isinstance(searching.value, Transient) is passes


async def test_a_server_that_is_not_there_is_a_failure_in_our_words() -> None:
    async with serving(FakeTavily().handle) as url:
        pass
    async with connected(url, "tvly-key", 5.0) as provider:
        with pytest.raises(ToolFailed, match="cannot be reached"):
            await provider.search(Query("cats"))


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [("7", 7.0), (None, None), ("soon", None), ("-3", 0.0)]
)
async def test_the_wait_tavily_asks_for_is_kept(
    retry_after: str | None, wait_s: float | None
) -> None:
    """The library drops the header."""
    async with speaking(FakeTavily(429, retry_after)) as provider:
        with pytest.raises(RateLimited) as limited:
            await provider.search(Query("cats"))
    assert limited.value.retry_after_s == wait_s


async def test_the_wait_of_the_keyless_limit_is_kept() -> None:
    async with speaking(FakeTavily("keyless limit"), key="") as provider:
        with pytest.raises(RateLimited, match="for 3600 s") as limited:
            await provider.search(Query("cats"))
    assert limited.value.retry_after_s == 3600


def test_every_error_of_the_library_has_our_words() -> None:
    """Fails when the library grows one that nobody has translated."""
    theirs = {
        error
        for _, error in inspect.getmembers(tavily.errors, inspect.isclass)
        if issubclass(error, Exception) and error.__module__ == "tavily.errors"
    }
    assert theirs == set(ERRORS)
