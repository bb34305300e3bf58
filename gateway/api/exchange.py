"""One HTTP exchange on the hot path: raw ASGI, because a response object a chunk costs too much."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import msgspec

from gateway.errors import BadRequest, GatewayError, TooLarge
from telemetry.tracing import Unrecorded, trace_here

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

TRACE_HEADER = "x-roundhouse-trace"

encode = msgspec.json.Encoder().encode


class Disconnected(Exception):
    """The client has gone."""


class Exchange:
    """Reads a body, answers once: with JSON, or with a stream of server-sent events."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.marks: dict[str, str] = {}
        """Headers of the answer, whatever it will be."""
        self.status: int | None = None
        self.begun = False
        """Whether an answer has begun, after which no status can be told any more."""

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge, BadRequest and Disconnected."""
        content_type = self.headers.get("content-type", "application/json")
        if "json" not in content_type.lower():
            raise BadRequest(f"the body must be application/json, not {content_type}")
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise TooLarge(f"the body is larger than {limit} bytes")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def gone(self) -> None:
        """Return when the client has gone; call it after the body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def json(
        self, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with JSON."""
        content = encode(body)
        await self._start(
            status,
            {
                "content-type": "application/json",
                "content-length": str(len(content)),
                **(headers or {}),
            },
        )
        await self._send({"type": "http.response.body", "body": content})

    async def error(self, error: GatewayError, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error in OpenAI's shape."""
        await self.json(error.status, error.body(), {**(headers or {}), **error.headers})

    async def stream(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of server-sent events."""
        await self._start(
            200,
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                **headers,
            },
        )

    async def write(self, chunk: bytes) -> None:
        """Send the next bytes of the stream; waits while the client reads slowly."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """End the stream."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self.begun = True
        self.status = status
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in {**self.marks, **headers}.items()
                ],
            }
        )


def traced(scope: Scope, send: Send) -> Send:
    """Marks the answer of what is not followed any further with an id of its trace."""
    if scope["type"] != "http":
        return send
    said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    trace_id = Unrecorded(said).trace_id
    trace_here.set(trace_id)

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            mark = (TRACE_HEADER.encode(), trace_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), mark]}
        await send(message)

    return marked


async def while_connected(exchange: Exchange, work: Awaitable[None]) -> None:
    """Do `work` and stop it when the client goes. Raises Disconnected, and what `work` raises."""
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(exchange))
            await work
            watch.cancel()
    except BaseExceptionGroup as errors:
        gone = errors.subgroup(Disconnected)
        raise (gone or errors).exceptions[0] from None


async def _watch(exchange: Exchange) -> None:
    await exchange.gone()
    raise Disconnected
