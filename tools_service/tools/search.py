"""The search tool: Tavily's parameters over whichever provider is configured."""

import json
from collections.abc import Mapping

from tools_service.tools.clean import strip
from tools_service.tools.providers.provider import Hit, Offer, Query, SearchProvider
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_DOCUMENTS = (
    "Search the documents and return the best passages, each with its title, its url and a "
    "score. Use it to look up facts before answering."
)
_WEB = (
    "Search the web and return the best results, each with its title, its url and what it says "
    "about the query. Use it to look up facts before answering."
)


class Search:
    """`search(query, max_results, …)` answers {"results": [{title, url, content, score}]}.

    There is no output schema on purpose: structured content would send every passage twice.
    """

    name = "search"
    output_schema: Schema | None = None

    def __init__(self, provider: SearchProvider) -> None:
        offer = provider.offer
        self._provider = provider
        self.upstream = provider.name if offer.open_world else None
        self.description = _WEB if offer.open_world else _DOCUMENTS
        self.input_schema: Schema = _schema(offer)
        self.annotations = Annotations(read_only=True, idempotent=True, open_world=offer.open_world)

    def shape(self, arguments: Arguments) -> str:
        return self._provider.shape(_query(arguments))

    async def run(self, arguments: Arguments, context: Context) -> Output:
        hits = await self._provider.search(_query(arguments))
        found = {"results": [_shown(hit) for hit in hits]}
        return Output(json.dumps(found, ensure_ascii=False), origin=self._provider.name)


def _query(arguments: Arguments) -> Query:
    return Query(
        text=str(arguments["query"]),
        max_results=int(str(arguments.get("max_results", 5)).removesuffix(".0")),
        topic=str(arguments.get("topic", "general")),
        include_raw_content=bool(arguments.get("include_raw_content", False)),
        search_depth=str(arguments.get("search_depth", "basic")),
    )


def _shown(hit: Hit) -> Mapping[str, object]:
    """The fields that have a value, cleaned before JSON hides what is in them behind escapes."""
    shown: dict[str, object] = {
        "title": strip(hit.title),
        "url": strip(hit.url),
        "content": strip(hit.content),
    }
    if hit.score is not None:
        shown["score"] = hit.score
    if hit.published:
        shown["published_date"] = strip(hit.published)
    if hit.raw_content is not None:
        shown["raw_content"] = strip(hit.raw_content)
    return shown


def _schema(offer: Offer) -> Schema:
    """Only what the provider can honour: a choice of one is no parameter."""
    properties: dict[str, object] = {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "description": "what to look for, in a few words",
        },
        "max_results": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
    }
    if len(offer.topics) > 1:
        properties["topic"] = {"type": "string", "enum": list(offer.topics), "default": "general"}
    if offer.raw_content:
        properties["include_raw_content"] = {
            "type": "boolean",
            "default": False,
            "description": "also return the text of each page",
        }
    if len(offer.depths) > 1:
        properties["search_depth"] = {
            "type": "string",
            "enum": list(offer.depths),
            "default": "basic",
        }
    return {
        "type": "object",
        "properties": properties,
        "required": ["query"],
        "additionalProperties": False,
    }
