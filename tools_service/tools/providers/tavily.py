"""Tavily through `tavily-python`, with a key or without one."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx
import tavily.errors
from msgspec import Struct, ValidationError, convert, field
from tavily import AsyncTavilyClient

from tools_service.errors import RateLimited, TimedOut, ToolFailed, Transient
from tools_service.tools.patience import PASSING, retry_after_s
from tools_service.tools.providers.provider import Hit, Offer, Page, Query

URL = "https://api.tavily.com"

# The library sends these only where it makes the HTTP client, and then drops Retry-After.
KEYLESS = {"X-Tavily-Access-Mode": "keyless", "X-Client-Source": "tavily-python-keyless"}

# Most special first; RateLimited is made of the last two.
ERRORS: dict[type[Exception], str] = {
    tavily.errors.InvalidAPIKeyError: "tavily does not accept the key",
    tavily.errors.MissingAPIKeyError: "tavily wants a key for this",
    tavily.errors.KeylessUnsupportedEndpointError: "tavily wants a key for this",
    tavily.errors.ForbiddenError: "tavily refuses: the plan or its limit does not allow this",
    tavily.errors.BadRequestError: "tavily does not accept these arguments",
    tavily.errors.TimeoutError: "tavily did not answer in time",
    tavily.errors.TavilyKeylessLimitError: "",
    tavily.errors.UsageLimitExceededError: "",
}


_LONGEST_REASON = 200


class _Result(Struct):
    url: str
    title: str | None = None
    content: str | None = None
    score: float | None = None
    published_date: str | None = None
    raw_content: str | None = None


class _Failure(Struct):
    url: str
    error: str = ""


class _Reply(Struct):
    results: list[_Result] = field(default_factory=list)
    failed_results: list[_Failure] = field(default_factory=list)


class Tavily:
    """Tavily searches and reads pages itself."""

    name = "tavily"
    offer = Offer(
        open_world=True,
        topics=("general", "news", "finance"),
        depths=("basic", "advanced", "fast", "ultra-fast"),
    )

    def __init__(self, client: AsyncTavilyClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    def shape(self, query: Query) -> str:
        raw = ":raw" if query.include_raw_content else ""
        return f"{query.search_depth}:{query.topic}{raw}"

    async def search(self, query: Query) -> list[Hit]:
        with _translated():
            answer = await self._client.search(
                query.text,
                max_results=query.max_results,
                topic=query.topic,
                search_depth=query.search_depth,
                include_raw_content=query.include_raw_content,
                timeout=self._timeout_s,
            )
            reply = convert(answer, _Reply)
        return [
            Hit(r.title or "", r.url, r.content or "", r.score, r.published_date, r.raw_content)
            for r in reply.results[: query.max_results]
        ]

    async def extract(self, urls: Sequence[str]) -> list[Page]:
        with _translated():
            answer = await self._client.extract(list(urls), timeout=self._timeout_s)
            reply = convert(answer, _Reply)
        read = {result.url: result.raw_content or "" for result in reply.results}
        why = {failure.url: failure.error[:_LONGEST_REASON] for failure in reply.failed_results}
        return [
            Page(url, "", read[url])
            if url in read
            else Page(url, "", error=why.get(url) or "tavily could not read it")
            for url in urls
        ]


@asynccontextmanager
async def connected(url: str, key: str, timeout_s: float) -> AsyncIterator[Tavily]:
    """A Tavily to ask for as long as the block; without a key in its keyless mode."""
    async with httpx.AsyncClient(
        base_url=url,
        headers={} if key else KEYLESS,
        event_hooks={"response": [_keep_retry_after]},
    ) as http:
        # An empty key, not None: None would take TAVILY_API_KEY, whatever the settings say.
        yield Tavily(AsyncTavilyClient(api_key=key, client=http), timeout_s)


async def _keep_retry_after(response: httpx.Response) -> None:
    """Raises RateLimited before the library makes an error of it that has lost the wait."""
    if response.status_code != 429:
        return
    wait_s = retry_after_s(response.headers.get("retry-after"), time.time())
    if wait_s is None:
        await response.aread()
        wait_s = _keyless_wait_s(response)
    raise RateLimited("tavily", wait_s)


class _Limit(Struct):
    retry_after_seconds: float | None = None


class _Envelope(Struct):
    error: _Limit


def _keyless_wait_s(response: httpx.Response) -> float | None:
    try:
        return convert(response.json(), _Envelope).error.retry_after_seconds
    except ValueError:
        return None


@contextmanager
def _translated() -> Iterator[None]:
    """Tavily's errors in our words. The text of an answer is a stranger's and stays out."""
    try:
        yield
    except tavily.errors.UsageLimitExceededError as exc:
        raise RateLimited("tavily", getattr(exc, "retry_after_seconds", None)) from exc
    except tavily.errors.TimeoutError as exc:
        raise TimedOut(ERRORS[type(exc)]) from exc
    except tuple(ERRORS) as exc:
        raise ToolFailed(ERRORS[type(exc)]) from exc
    except httpx.HTTPStatusError as exc:
        status = exc.response.status_code
        failure = Transient if status in PASSING else ToolFailed
        raise failure(f"tavily answered with HTTP status {status}") from exc
    except httpx.TransportError as exc:
        raise Transient(f"tavily cannot be reached ({type(exc).__name__})") from exc
    except httpx.HTTPError as exc:
        raise ToolFailed(f"tavily cannot be reached ({type(exc).__name__})") from exc
    except (ValidationError, ValueError, TypeError, AttributeError) as exc:
        # The library takes every 200 for a JSON object, and raises whatever comes of it.
        raise ToolFailed("tavily gave an answer that is not its JSON") from exc
