"""A tool that costs nothing: what is left is the service's own cost."""

from tools_service.tools.registry import (
    Annotations,
    Arguments,
    Context,
    Output,
    Schema,
    size_shape,
)

_TEXT: Schema = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


class Echo:
    """`echo(text)` returns the text."""

    name = "echo"
    description = "Return the text."
    input_schema: Schema = _TEXT
    output_schema: Schema | None = None
    annotations = Annotations(read_only=True, idempotent=True, open_world=False)
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        """By size."""
        return size_shape(arguments)

    async def run(self, arguments: Arguments, context: Context) -> Output:
        """At once."""
        return Output(str(arguments["text"]))
