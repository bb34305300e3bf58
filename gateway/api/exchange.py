"""One HTTP exchange on the hot path, straight to the transport: a message a chunk costs too much.

The connection, its parser and its life are uvicorn's (`gateway/front.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

import msgspec

from gateway.errors import BadRequest, GatewayError, TooLarge

TRACE_HEADER = "x-roundhouse-trace"
_REASONS = {status.value: status.phrase for status in HTTPStatus}

Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

encode = msgspec.json.Encoder().encode


class Disconnected(Exception):
    """The client has gone."""


class Flow(Protocol):
    """When to read and to write no more."""

    write_paused: bool

    def resume_reading(self) -> None:
        """Let more of the body come."""

    async def drain(self) -> None:
        """Wait until the client has read enough."""


class Exchange:
    """Reads a body, answers once: with JSON, or with a stream of server-sent events.

    uvicorn's connection sets `body`, `more_body` and `disconnected` and says `set` then, as it does
    to its own cycles.
    """

    def __init__(
        self,
        fields: Fields,
        transport: asyncio.Transport,
        flow: Flow,
        *,
        own: Fields,
        keep_alive: bool,
        expects_continue: bool,
        on_response: Callable[[], None],
    ) -> None:
        """`fields` are the request's headers, `own` those of every answer; `on_response` hears of
        the end."""
        self.body = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = keep_alive
        self.message_event = self  # set when anything of this has changed
        self._transport = transport
        self._flow = flow
        self._own = own
        self._expects_continue = expects_continue
        self._on_response = on_response
        self._reader: asyncio.Future[None] | None = None
        self._worker: asyncio.Task[None] | None = None
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        self.marks: dict[str, str] = {}
        """Headers of the answer, whatever it will be."""
        self.status: int | None = None
        self.begun = False
        """Whether an answer has begun, after which no status can be told any more."""

    def set(self) -> None:
        """More of the body has come, or the client has gone."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        if self.disconnected and self._worker is not None:
            worker, self._worker = self._worker, None
            worker.cancel()

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge, BadRequest and Disconnected."""
        content_type = self.headers.get("content-type", "application/json")
        if "json" not in content_type.lower():
            raise BadRequest(f"the body must be application/json, not {content_type}")
        if self._expects_continue and self.more_body:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.more_body and not self.disconnected and len(self.body) <= limit:
            self._flow.resume_reading()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if self.disconnected:
            raise Disconnected
        if len(self.body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        self._flow.resume_reading()  # or nobody would see a client go whose body is large
        whole, self.body = bytes(self.body), bytearray()
        return whole

    async def while_connected(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` and stop it when the client goes. Raises Disconnected, and what `work` raises.

        No task waits for the client to go: the connection cancels this one.
        """
        if self.disconnected:
            work.close()
            raise Disconnected
        task = self._worker = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            await work
        except asyncio.CancelledError:
            if self._worker is task or task.uncancel() > before:
                raise  # somebody else has cancelled it
            raise Disconnected from None
        finally:
            self._worker = None

    async def json(
        self, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with JSON."""
        content = encode(body)
        told = {"content-type": "application/json", "content-length": str(len(content))}
        self._send(self._head(status, told, headers or {}) + content)
        self._finish()

    async def error(self, error: GatewayError, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error in OpenAI's shape."""
        await self.json(error.status, error.body(), {**(headers or {}), **error.headers})

    async def stream(self, headers: Mapping[str, str]) -> None:
        """Begin a stream of server-sent events."""
        told = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            "transfer-encoding": "chunked",
        }
        self._send(self._head(HTTPStatus.OK, told, headers))

    async def write(self, chunk: bytes) -> None:
        """Send the next bytes of the stream; waits while the client reads slowly."""
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk))

    async def end(self) -> None:
        """End the stream."""
        self._send(b"0\r\n\r\n")
        self._finish()

    async def run_asgi(self, endpoint: Callable[["Exchange"], Awaitable[None]]) -> None:
        """Let the endpoint answer; uvicorn calls it as it calls its own cycles'."""
        try:
            await endpoint(self)
        finally:
            if not self.response_complete:
                self._transport.close()  # cut off: nobody may take the answer for whole

    def _head(self, status: int, told: Mapping[str, str], more: Mapping[str, str]) -> bytes:
        self.begun, self.status = True, status
        fields = {**told, **self.marks, **more}
        if not self.keep_alive:
            fields["connection"] = "close"
        said = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        if said.count("\n") != len(fields) or said.count("\r") != len(fields):
            raise ValueError("a header of the answer has a line end in it")
        own = b"".join([b"%b: %b\r\n" % field for field in self._own])
        line = f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        return line.encode("latin-1") + own + said.encode("latin-1") + b"\r\n"

    def _send(self, data: bytes) -> None:
        if not self.disconnected:
            self._transport.write(data)

    def _finish(self) -> None:
        if self.disconnected:
            return
        self.response_complete = True
        if not self.keep_alive:
            self._transport.close()
        self._on_response()
