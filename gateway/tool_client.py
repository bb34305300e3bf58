"""The gateway's way to the tools service: MCP of 2026-07-28, written by hand on one pooled session.

A POST is all that revision needs: no handshake, no session, and closing the answer's stream cancels
the tool. The official client costs three to five times the CPU per call.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

from gateway import tool_wire as wire
from gateway.errors import ToolsDown
from gateway.events import ToolGroup, ToolOutcome, ToolSpec, ToolStarted

_HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": wire.VERSION,
}
_MOST_PAGES = 20
_LARGEST_ANSWER = 4 * 1024 * 1024
# Shorter than the service keeps an idle connection, so that no call meets a closing one.
_KEEP_ALIVE_S = 30
_GRACE_S = 0.5


@dataclass(frozen=True, slots=True)
class ToolClientConfig:
    """`url` is the MCP endpoint, e.g. http://127.0.0.1:8001/mcp; /health lies beside it."""

    url: str
    token: str | None = None
    timeout_s: float = 10.0
    """For everything but tool calls, which bring their own bound."""
    connections: int = 512
    list_ttl_s: float = 30.0


class ToolClient:
    """One per gateway: `async with ToolClient(config) as tools: ...`."""

    def __init__(self, config: ToolClientConfig) -> None:
        self._config = config
        self._url = URL(config.url)
        self._ids = itertools.count(1)
        self._http: aiohttp.ClientSession | None = None
        self._specs: tuple[ToolSpec, ...] = ()
        self._listing = asyncio.Lock()
        self._listed_s = float("-inf")
        self._failure: tuple[float, str] | None = None

    async def __aenter__(self) -> Self:
        headers = dict(_HEADERS)
        if self._config.token:
            headers["authorization"] = f"Bearer {self._config.token}"
        self._http = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(
                limit=self._config.connections, keepalive_timeout=_KEEP_ALIVE_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.timeout_s),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def healthy(self) -> bool:
        """The service answers and takes calls."""
        try:
            async with (
                asyncio.timeout(self._config.timeout_s),
                self._session.get(self._url.with_path("/health")) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def tools(self) -> tuple[ToolSpec, ...]:
        """The tools on offer, at most `list_ttl_s` old. Raises ToolsDown.

        However many ask at once, one request is made, and all share its end.
        """
        asked_s = _now()
        async with self._listing:
            if self._failure and self._failure[0] >= asked_s:
                raise ToolsDown(self._failure[1])
            if _now() - self._listed_s >= self._config.list_ttl_s:
                await self._relist()
            return self._specs

    async def call(
        self,
        name: str,
        arguments: Mapping[str, object],
        *,
        session: str,
        group: ToolGroup | None,
        timeout_s: float,
    ) -> AsyncGenerator[ToolStarted | ToolOutcome, None]:
        """Runs a tool: at most one ToolStarted, then exactly one ToolOutcome, the last event.

        Closing the generator closes the connection, which stops the tool. Nothing is retried.
        Raises ToolsDown.
        """
        began_s = time.perf_counter()  # a loop's clock may tick in milliseconds
        number = next(self._ids)
        params = {
            "name": name,
            "arguments": dict(arguments),
            "_meta": {
                **wire.META,
                "progressToken": number,
                "roundhouse/group": wire.group_meta(session, group, timeout_s),
            },
        }
        # The service keeps the bound itself and knows better what happened: it gets a blink more.
        deadline_s = _now() + timeout_s + _GRACE_S
        messages = self._exchange(number, "tools/call", params, deadline_s)
        started: ToolStarted | None = None
        try:
            async with aclosing(messages):
                async for message in messages:
                    if message.result:
                        yield wire.outcome(message.result, time.perf_counter() - began_s)
                        return
                    if started is None and (started := wire.started(message)):
                        yield started
        except TimeoutError:
            yield wire.timed_out(name, started, time.perf_counter() - began_s)
            return
        raise ToolsDown("the tools service ended its answer without a result")

    @property
    def _session(self) -> aiohttp.ClientSession:
        assert self._http is not None, "used outside `async with`"
        return self._http

    async def _relist(self) -> None:
        try:
            try:
                self._specs = await self._list()
            except ToolsDown:
                # Reading twice harms nobody, and the first try may have met a restart.
                self._specs = await self._list()
        except ToolsDown as exc:
            self._failure = (_now(), exc.message)
            raise
        self._listed_s = _now()

    async def _list(self) -> tuple[ToolSpec, ...]:
        specs: list[ToolSpec] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._page(cursor)
            specs += (
                ToolSpec(tool.name, tool.description, tool.input_schema) for tool in page.tools
            )
            cursor = page.cursor
            if cursor is None:
                return tuple(specs)
        raise ToolsDown("the list of tools has no end")

    async def _page(self, cursor: str | None) -> wire.Page:
        params = {"_meta": wire.META} if cursor is None else {"_meta": wire.META, "cursor": cursor}
        deadline_s = _now() + self._config.timeout_s
        messages = self._exchange(next(self._ids), "tools/list", params, deadline_s)
        try:
            async with aclosing(messages):
                async for message in messages:
                    if message.result:
                        return wire.read(message.result, wire.Page)
        except TimeoutError:
            raise ToolsDown("the tools service did not answer in time") from None
        raise ToolsDown("the tools service ended its answer without a result")

    async def _exchange(
        self, number: int, method: str, params: Mapping[str, Any], deadline_s: float
    ) -> AsyncGenerator[wire.Message, None]:
        """One POST and its messages, the last with a result. Raises ToolsDown and TimeoutError."""
        try:
            response = await self._post(number, method, params, deadline_s)
            answers = _messages(response, deadline_s)
            try:
                async for data in answers:
                    message = wire.read(data, wire.Message)
                    if message.error is not None:
                        raise ToolsDown(f"the tools service refused: {message.error.message}")
                    if message.result and message.id != number:
                        raise ToolsDown("the tools service answered another question")
                    if message.result:
                        await _finish(response)
                    yield message
            finally:
                # Nothing left to read: the connection is back in the pool already. Otherwise this
                # closes it, which is what cancels the tool.
                response.close()
        except aiohttp.ClientError as exc:
            raise ToolsDown(f"{type(exc).__name__}: {exc}") from exc

    async def _post(
        self, number: int, method: str, params: Mapping[str, Any], deadline_s: float
    ) -> aiohttp.ClientResponse:
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        headers = {"mcp-method": method}
        if method == "tools/call":
            headers["mcp-name"] = wire.header(params["name"])
        async with asyncio.timeout_at(deadline_s):
            response = await self._session.post(
                self._url, data=msgspec.json.encode(body), headers=headers, allow_redirects=False
            )
        if response.status in (200, 400, 404) and _is_known(response.content_type):
            return response
        response.close()
        raise ToolsDown(f"the tools service answered {response.status} {response.content_type}")


def _is_known(content_type: str) -> bool:
    return content_type in ("application/json", "text/event-stream")


async def _messages(
    response: aiohttp.ClientResponse, deadline_s: float
) -> AsyncGenerator[bytes, None]:
    """The JSON texts of an answer, as they come. Raises TimeoutError; ToolsDown if one is huge."""
    if response.content_type == "application/json":
        whole = bytearray()
        while chunk := await _chunk(response, deadline_s, len(whole)):
            whole += chunk
        yield bytes(whole)
        return
    rest, data = b"", b""
    while chunk := await _chunk(response, deadline_s, len(rest) + len(data)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data += line[5:]
            elif not line.strip() and data:
                yield data
                data = b""


async def _chunk(response: aiohttp.ClientResponse, deadline_s: float, held: int) -> bytes:
    """The next bytes, empty at the end; `held` are kept already. Raises TimeoutError, ToolsDown."""
    if held > _LARGEST_ANSWER:
        raise ToolsDown(f"the tools service sent more than {_LARGEST_ANSWER} bytes at once")
    try:
        async with asyncio.timeout_at(deadline_s):
            return await response.content.readany()
    except RuntimeError as exc:
        # What aiohttp raises, instead of its own, for a connection closed before the read.
        raise ToolsDown(f"the tools service is gone: {exc}") from exc


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Reads to the end of an answer that is complete, so that its connection can be used again."""
    with contextlib.suppress(TimeoutError):
        while await _chunk(response, _now() + _GRACE_S, 0):
            pass


def _now() -> float:
    return asyncio.get_running_loop().time()
