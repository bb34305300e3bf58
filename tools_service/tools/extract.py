"""The extract tool: the text of several pages at once."""

import json

from tools_service.errors import ToolFailed
from tools_service.tools.clean import strip
from tools_service.tools.providers.provider import SearchProvider
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_INPUT: Schema = {
    "type": "object",
    "properties": {
        "urls": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 2048},
            "minItems": 1,
            "maxItems": 20,
            "description": "the pages to read, for example the urls of search results",
        }
    },
    "required": ["urls"],
    "additionalProperties": False,
}


class Extract:
    """`extract(urls)` answers {"results": […], "failed_results": […]}, as Tavily's does."""

    name = "extract"
    description = (
        "Read several pages and return the text of each. Use it after search, for the results "
        "worth reading in full."
    )
    input_schema: Schema = _INPUT
    output_schema: Schema | None = None
    annotations = Annotations(read_only=True, idempotent=True, open_world=True)

    def __init__(self, provider: SearchProvider) -> None:
        self._provider = provider
        self.upstream = provider.name if provider.offer.open_world else None

    def shape(self, arguments: Arguments) -> str:
        return f"urls:{len(_urls(arguments))}"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        """Raises ToolFailed when no page could be read."""
        pages = await self._provider.extract(_urls(arguments))
        failed = [
            {"url": strip(page.url), "error": strip(page.error)} for page in pages if page.error
        ]
        if len(failed) == len(pages):
            raise ToolFailed("; ".join(f"{page['url']}: {page['error']}" for page in failed))
        read = [
            {"url": strip(page.url), "title": strip(page.title), "raw_content": strip(page.text)}
            for page in pages
            if not page.error
        ]
        answer = {"results": read, "failed_results": failed}
        return Output(json.dumps(answer, ensure_ascii=False), origin=self._provider.name)


def _urls(arguments: Arguments) -> list[str]:
    given = arguments["urls"]
    # The schema has seen to it; without repetitions, so that no page is read twice.
    return list(dict.fromkeys(map(str, given))) if isinstance(given, list) else []
