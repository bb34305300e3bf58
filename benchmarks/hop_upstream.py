"""A model server that costs next to nothing: canned answers, streams in step.

Every tick gives every running stream one chunk, as an engine's step does, in one write.
"""

import argparse
import asyncio
import contextlib
import gc
import re
from typing import cast

import httptools
import msgspec
import uvloop

from benchmarks.hop_peers import MODEL

_MAX_TOKENS = re.compile(rb'"max_(?:completion_)?tokens":\s*(\d+)')
_STREAM = re.compile(rb'"stream":\s*true')
_USAGE = re.compile(rb'"include_usage":\s*true')
TEXT = "The quick brown fox jumps over the lazy dog and then sits down to think about it."


def _json(choice: dict[str, object] | None, usage: int | None, kind: str) -> bytes:
    body: dict[str, object] = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": kind,
        "created": 1700000000,
        "model": MODEL,
        "choices": [] if choice is None else [choice],
    }
    if usage is not None:
        counts = {"prompt_tokens": 20, "completion_tokens": usage, "total_tokens": 20 + usage}
        body["usage"] = counts
    return msgspec.json.encode(body)


def _choice(reason: str | None, **part: object) -> dict[str, object]:
    return {"index": 0, **part, "logprobs": None, "finish_reason": reason}


def _page(content: bytes, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(content)) + content


def _chunk(content: bytes) -> bytes:
    event = b"data: " + content + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


KIND = "chat.completion.chunk"
WHOLE = _page(
    _json(_choice("stop", message={"role": "assistant", "content": TEXT}), 24, "chat.completion")
)
MODELS = _page(msgspec.json.encode({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))
# A cache so large that nobody waits for it: what admission costs is counted, not what it holds.
METRICS = _page(
    b"vllm:num_requests_running 0.0\nvllm:num_requests_waiting 0.0\nvllm:kv_cache_usage_perc 0.1\n"
    b'vllm:cache_config_info{block_size="16",num_gpu_blocks="10000000"} 1.0\n',
    b"text/plain",
)
OTHER = _page(b'{"status":"ok","version":"0.32.0"}')
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
FIRST = HEAD + _chunk(_json(_choice(None, delta={"role": "assistant", "content": ""}), None, KIND))
TOKEN = _chunk(_json(_choice(None, delta={"content": " token"}), None, KIND))
LAST = _chunk(_json(_choice("length", delta={"content": ""}), None, KIND))
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, running: "set[Upstream]") -> None:
        self._running = running
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._left = 0
        self._end = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway has gone; so has its stream."""
        self._running.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take a segment of a request."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The path of the next request."""
        self._path += url

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer at once, or begin to stream."""
        path, body = self._path, b"".join(self._body)
        self._path, self._body = b"", []
        if not path.endswith(b"completions"):
            pages = {b"/v1/models": MODELS, b"/metrics": METRICS}
            self._transport.write(pages.get(path, OTHER))
        elif _STREAM.search(body) is None:
            self._transport.write(WHOLE)
        else:
            asked = _MAX_TOKENS.search(body)
            self._left = int(asked[1]) if asked else 64
            usage = _chunk(_json(None, self._left, KIND)) if _USAGE.search(body) else b""
            self._end = LAST + usage + DONE
            self._transport.write(FIRST)
            self._running.add(self)

    def tick(self) -> None:
        """One token, or the end."""
        if self._left:
            self._left -= 1
            self._transport.write(TOKEN)
        else:
            self._running.discard(self)
            self._transport.write(self._end)


async def serve(port: int, tick_s: float) -> None:
    """Serve until killed."""
    running: set[Upstream] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(running), "127.0.0.1", port, backlog=1024)
    async with server:
        due_s = loop.time()
        while True:
            due_s = max(due_s + tick_s, loop.time())
            await asyncio.sleep(due_s - loop.time())
            for stream in list(running):
                stream.tick()


def main() -> None:
    """Serve on `--port`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tick-ms", type=float, required=True)
    args = parser.parse_args()
    gc.disable()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(args.port, args.tick_ms / 1e3))


if __name__ == "__main__":
    main()
