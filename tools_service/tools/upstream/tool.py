"""A tool of an upstream as one of ours."""

from collections.abc import Awaitable, Callable

from tools_service.tools.registry import (
    Annotations,
    Arguments,
    Context,
    Output,
    Schema,
    Tell,
    size_shape,
)
from tools_service.tools.upstream.offers import Hints, Offer, served_name

Ask = Callable[[str, Arguments, Tell], Awaitable[Output]]


class UpstreamTool:
    """`run` asks the upstream; a model sees what was accepted, not what is said now."""

    def __init__(self, upstream: str, prefix: str, trusted: bool, offer: Offer, ask: Ask) -> None:
        self.name = served_name(prefix, offer.name)
        self.description = offer.description
        self.input_schema: Schema = offer.input_schema
        self.output_schema: Schema | None = _object(offer.output_schema)
        self.annotations = believed(offer.hints, trusted)
        self.upstream: str | None = upstream
        self._offer = offer
        self._ask = ask

    def shape(self, arguments: Arguments) -> str:
        return size_shape(arguments)

    async def run(self, arguments: Arguments, context: Context) -> Output:
        return await self._ask(self._offer.name, arguments, context.tell)


def believed(hints: Hints, trusted: bool) -> Annotations:
    """MCP's defaults are the careful ones; of an untrusted upstream nothing better is believed."""
    if not trusted:
        return Annotations(read_only=False, idempotent=False, open_world=True)
    read_only = hints.read_only is True
    return Annotations(
        read_only=read_only,
        idempotent=read_only or hints.idempotent is True,
        open_world=hints.open_world is not False,
    )


def _object(schema: Schema | None) -> Schema | None:
    """Only objects are passed on as structured results."""
    return schema if schema is not None and schema.get("type") == "object" else None
