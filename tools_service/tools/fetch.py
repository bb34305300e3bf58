"""The fetch tool: one page from the web as text."""

from tools_service.tools.reader import Reader
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_INPUT: Schema = {
    "type": "object",
    "properties": {
        "url": {
            "type": "string",
            "minLength": 1,
            "maxLength": 2048,
            "description": "a full URL, with http:// or https://",
        }
    },
    "required": ["url"],
    "additionalProperties": False,
}


class Fetch:
    """`fetch(url)` answers the page's title and text."""

    name = "fetch"
    description = "Fetch a page from the public web and return its text."
    input_schema: Schema = _INPUT
    output_schema: Schema | None = None
    annotations = Annotations(read_only=True, idempotent=True, open_world=True)
    upstream: str | None = None

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def shape(self, arguments: Arguments) -> str:
        # By its site, see shapes.py; this is what is left where shapes are not asked.
        return "page"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        page = await self._reader.read(str(arguments["url"]))
        text = f"{page.title}\n\n{page.text}" if page.title else page.text
        return Output(text, origin=page.url)
