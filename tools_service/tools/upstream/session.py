"""One connection to an upstream, made once and shared by all its calls: the SDK's client."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress

from mcp import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Implementation,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from tools_service.errors import UpstreamDown, UpstreamLost
from tools_service.tools import clean
from tools_service.tools.registry import Arguments, Output, Progress, Tell
from tools_service.tools.upstream import replies
from tools_service.tools.upstream.offers import Hints, Offer, legible
from tools_service.tools.upstream.transports import UNREACHED, transport
from tools_service.upstream_config import UpstreamConfig

MOST_PAGES = 50
MOST_TOOLS = 512

_MODES = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}
_US = Implementation(name="roundhouse-tools", version="0.1.0")
_TERMINATED = "Session terminated"  # the SDK's word when a restarted server forgot the session
# Any other error may be a server's own way to say that it forgot the session.
_ORDINARY = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL_ERROR})


@asynccontextmanager
async def connected(
    name: str, config: UpstreamConfig, environ: Mapping[str, str], look: Callable[[], None]
) -> AsyncIterator["Session"]:
    """A session for as long as the block. `look` is called when its tools should be listed anew:
    the upstream says so, or it may have gone."""

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            look()

    client = Client(
        transport(name, config, environ, look),
        mode="legacy" if config.transport == "sse" else _MODES[config.era],
        client_info=_US,
        message_handler=heard,
        cache=None,
    )
    async with client:
        yield Session(name, client, look)


class Session:
    """Lists and calls. Calls may be made from any task and cancelled there."""

    def __init__(self, name: str, client: Client, look: Callable[[], None]) -> None:
        self._name = name
        self._client = client
        self._look = look

    async def list(self, wanted: Collection[str] | None) -> list[Offer]:
        """The tools of these names, all when None. Raises MCPError and what transports raise."""
        offers: list[Offer] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            # A name with a line end in it would forge lines of the log.
            tools = (tool for tool in page.tools if tool.name.isprintable())
            offers += [_offer(tool) for tool in tools if wanted is None or tool.name in wanted]
            cursor = page.next_cursor
            if cursor is None or len(offers) >= MOST_TOOLS:
                break
        return offers[:MOST_TOOLS]

    async def listen(self) -> None:
        """Looks when an upstream of the modern era says that its tools changed, and once when it
        stops saying so. An older one says it in `heard`."""
        tools = self._client.server_capabilities.tools
        modern = self._client.protocol_version in MODERN_PROTOCOL_VERSIONS
        # None: nobody asked, because the settings name the era.
        if not modern or (tools is not None and not tools.list_changed):
            return
        with suppress(MCPError, SubscriptionLost):
            async with self._client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._look()
        self._look()

    async def call(self, tool: str, arguments: Arguments, tell: Tell) -> Output:
        """Raises ToolFailed: UpstreamDown or UpstreamLost where there is no answer."""

        async def passed(progress: float, total: float | None, message: str | None) -> None:
            await tell(Progress(progress, total, message and clean.strip(message)))

        try:
            result = await self._client.call_tool(tool, dict(arguments), progress_callback=passed)
        except MCPError as exc:
            if exc.code not in _ORDINARY:
                self._look()
            if exc.message in (UNREACHED, _TERMINATED):
                raise UpstreamDown(self._name) from exc
            if exc.code == CONNECTION_CLOSED:
                raise UpstreamLost(self._name) from exc
            raise replies.failure(self._name, exc.message) from exc
        except (RuntimeError, ValidationError) as exc:
            # The SDK's words for a result that is not what the tool or the protocol promises.
            raise replies.failure(self._name, f"it broke the protocol: {exc}") from exc
        return replies.output(self._name, result)


def _offer(tool: Tool) -> Offer:
    hints = tool.annotations
    return Offer(
        name=tool.name,
        description=clean.strip(tool.description or tool.title or tool.name),
        input_schema=legible(tool.input_schema),
        output_schema=tool.output_schema,
        hints=Hints(hints.read_only_hint, hints.idempotent_hint, hints.open_world_hint)
        if hints
        else Hints(),
    )
