"""What a search provider is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Query:
    """A search in Tavily's terms. Only values of the provider's own offer arrive there."""

    text: str
    max_results: int = 5
    topic: str = "general"
    include_raw_content: bool = False
    search_depth: str = "basic"


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. `content` is what the provider shows of it, `raw_content` the whole page."""

    title: str
    url: str
    content: str
    score: float | None = None
    published: str | None = None
    raw_content: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was asked for by its URL; `error` says why there is no text."""

    url: str
    title: str
    text: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What of Tavily's parameters a provider can honour; the search tool offers just that."""

    open_world: bool
    topics: tuple[str, ...] = ("general",)
    depths: tuple[str, ...] = ("basic",)
    raw_content: bool = True


class SearchProvider(Protocol):
    """Both raise ToolFailed, RateLimited with the wait the provider asks for."""

    name: str
    offer: Offer

    def shape(self, query: Query) -> str:
        """Names the searches that take about as long as this one, as in `Tool.shape`."""
        ...

    async def search(self, query: Query) -> list[Hit]:
        """The best results, at most as many as asked for."""
        ...

    async def extract(self, urls: Sequence[str]) -> list[Page]:
        """The pages behind these URLs, in their order."""
        ...


class PageReader(Protocol):
    """Reads pages for the providers that do not."""

    async def read_all(self, urls: Sequence[str]) -> list[Page]:
        """All pages, in the order of the URLs; one that fails says why."""
        ...
