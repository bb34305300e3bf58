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
from gateway.access import ANYONE
from gateway.errors import ToolsDown
from gateway.events import ToolGroup, ToolOutcome, ToolSpec, ToolStarted
from gateway.tool_lists import ToolLists
from gateway.tool_tokens import Tokens

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


@dataclass(frozen=True, slots=True)
class _Question:
    """One request, and the tenant it is made for."""

    number: int
    method: str
    params: Mapping[str, Any]
    tenant: str

    def body(self) -> bytes:
        parts = {"id": self.number, "method": self.method, "params": self.params}
        return msgspec.json.encode({"jsonrpc": "2.0", **parts})


class ToolClient:
    """One per gateway: `async with ToolClient(config) as tools: ...`."""

    def __init__(self, config: ToolClientConfig) -> None:
        self._config = config
        self._url = URL(config.url)
        self._ids = itertools.count(1)
        self._http: aiohttp.ClientSession | None = None
        self._tokens = Tokens(config.token) if config.token else None
        self._lists = ToolLists(self._list, config.list_ttl_s)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            headers=_HEADERS,
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

    async def look(self, page: str, timeout_s: float) -> dict[str, list[dict[str, Any]]]:
        """A page for people who look: `runtimes` or `running`. Raises ToolsDown."""
        headers = {"accept": "application/json"}
        if self._tokens is not None:
            headers["authorization"] = self._tokens.header(ANYONE)
        url = self._url.with_path(f"/{page}")
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                if response.status != 200 or response.content_type != "application/json":
                    raise ToolsDown(f"the tools service answered {response.status} for /{page}")
                whole = await anext(_messages(response, _now() + timeout_s))
                return msgspec.json.decode(whole, type=dict[str, list[dict[str, Any]]])
        except TimeoutError:
            raise ToolsDown("the tools service did not answer in time") from None
        except (aiohttp.ClientError, msgspec.DecodeError) as exc:
            raise ToolsDown(f"{type(exc).__name__}: {exc}") from exc

    async def tools(self, tenant: str = ANYONE) -> tuple[ToolSpec, ...]:
        """The tools on offer to a tenant, at most `list_ttl_s` old. Raises ToolsDown."""
        return await self._lists.get(tenant)

    async def call(
        self,
        name: str,
        arguments: Mapping[str, object],
        *,
        session: str,
        group: ToolGroup | None,
        timeout_s: float,
        tenant: str = ANYONE,
        carrier: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[ToolStarted | ToolOutcome, None]:
        """Runs a tool: at most one ToolStarted, then exactly one ToolOutcome, the last event.

        `carrier` holds W3C's trace context, which MCP carries by the same names.
        Closing the generator closes the connection, which stops the tool. Nothing is retried.
        Raises ToolsDown.
        """
        began_s = time.perf_counter()  # a loop's clock may tick in milliseconds
        number = next(self._ids)
        params: dict[str, Any] = {
            "name": name,
            "arguments": dict(arguments),
            "_meta": {
                **wire.META,
                **(carrier or {}),
                "progressToken": number,
                "roundhouse/group": wire.group_meta(session, group, timeout_s),
            },
        }
        # The service keeps the bound itself and knows better what happened: it gets a blink more.
        deadline_s = _now() + timeout_s + _GRACE_S
        messages = self._exchange(_Question(number, "tools/call", params, tenant), deadline_s)
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

    async def _list(self, tenant: str) -> tuple[ToolSpec, ...]:
        specs: list[ToolSpec] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self._page(tenant, cursor)
            specs += (
                ToolSpec(tool.name, tool.description, tool.input_schema) for tool in page.tools
            )
            cursor = page.cursor
            if cursor is None:
                return tuple(specs)
        raise ToolsDown("the list of tools has no end")

    async def _page(self, tenant: str, cursor: str | None) -> wire.Page:
        params = {"_meta": wire.META} if cursor is None else {"_meta": wire.META, "cursor": cursor}
        question = _Question(next(self._ids), "tools/list", params, tenant)
        messages = self._exchange(question, _now() + self._config.timeout_s)
        try:
            async with aclosing(messages):
                async for message in messages:
                    if message.result:
                        return wire.read(message.result, wire.Page)
        except TimeoutError:
            raise ToolsDown("the tools service did not answer in time") from None
        raise ToolsDown("the tools service ended its answer without a result")

    async def _exchange(
        self, question: _Question, deadline_s: float
    ) -> AsyncGenerator[wire.Message, None]:
        """One POST and its messages, the last with a result. Raises ToolsDown and TimeoutError."""
        try:
            response = await self._post(question, deadline_s)
            answers = _messages(response, deadline_s)
            try:
                async for data in answers:
                    message = wire.read(data, wire.Message)
                    if message.error is not None:
                        raise ToolsDown(f"the tools service refused: {message.error.message}")
                    if message.result and message.id != question.number:
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

    async def _post(self, question: _Question, deadline_s: float) -> aiohttp.ClientResponse:
        headers = {"mcp-method": question.method}
        if question.method == "tools/call":
            headers["mcp-name"] = wire.header(question.params["name"])
        if self._tokens is not None:
            headers["authorization"] = self._tokens.header(question.tenant)
        async with asyncio.timeout_at(deadline_s):
            response = await self._session.post(
                self._url, data=question.body(), headers=headers, allow_redirects=False
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
