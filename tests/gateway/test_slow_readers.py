"""Clients that read slowly: each gets all of its answer, and nobody pays for it."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import psutil
from aiohttp import web

from tests.gateway.test_chaos_under_load import CHAT, MIB, alone, ask, chat, end, outcomes
from tests.parts.gateway_process import GatewayProcess
from tests.parts.redis_server import until
from tests.parts.upstream import DONE, HELLO, USAGE_CHUNK, Upstream, chunk, line, opened, says

READERS = 6
PIECES = 3072
ROUNDS = 10
"""Of quick requests beside them: few, for the gateway remembers who has asked."""
PADDING = "x" * 2**14  # beside the text, so that the gateway has no reason to keep it
RECEIVED = 4096  # bytes that the network may hold for a reader
MOST_HELD = READERS * 4 * MIB
"""Bytes: what a connection's buffers on both sides of the gateway hold, and some to spare."""


def piece(number: int) -> bytes:
    choice = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": None}
    return line({"id": "chatcmpl-there", "model": "there", "choices": [choice], "pad": PADDING})


async def counts(
    upstream: Upstream, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """Counts as fast as it is read."""
    response = await opened(request)
    for number in range(PIECES):
        data = piece(number)
        await response.write(data)
        upstream.sent += len(data)
    for data in (chunk(reason="stop"), USAGE_CHUNK, DONE):
        await response.write(data)
    await response.write_eof()
    return response


async def reader(it: GatewayProcess, model: str, begin: asyncio.Event) -> str:
    """The text of a whole stream, read a piece a turn of the loop once it may begin."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", int(it.url.split(":")[-1])))
    pieces, writer = await asyncio.open_connection(sock=line, limit=RECEIVED)
    said = msgspec.json.encode(chat(model))
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(said)}\r\n"
    writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + said)
    try:
        assert (await pieces.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await begin.wait()
        content = b""
        while size := int(await pieces.readline(), 16):
            content += (await pieces.readexactly(size + 2))[:-2].replace(PADDING.encode(), b"")
            await asyncio.sleep(0)
    finally:
        writer.close()
    assert end(content) == "ok"
    datas = [event.removeprefix(b"data: ") for event in content.split(b"\n\n") if event]
    read = [msgspec.json.decode(data) for data in datas if data != b"[DONE]"]
    return "".join(
        choice["delta"].get("content", "") for each in read for choice in each["choices"]
    )


async def test_slow_readers_get_all_of_their_answers_and_cost_bounded_memory(
    tmp_path: Path,
) -> None:
    deep, quick, begin = Upstream(counts), Upstream(says(HELLO)), asyncio.Event()
    whole = "".join(f"{number} " for number in range(PIECES))
    total = READERS * sum(len(piece(number)) for number in range(PIECES))
    assert total > 10 * MOST_HELD
    async with alone(tmp_path, {"deep": deep, "quick": quick}) as (it, http):
        asked = 0

        async def ask_quickly() -> None:
            nonlocal asked
            answers = await asyncio.gather(*(ask(it, http, "quick") for _ in range(READERS)))
            assert {(status, end(content)) for status, content in answers} == {(200, "ok")}
            asked += READERS

        memory = psutil.Process(it.process.pid).memory_info
        await ask_quickly()
        before = most = memory().rss
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(reader(it, "deep", begin)) for _ in range(READERS)]
            await until(lambda: len(deep.asked) == READERS)
            sent = -1
            while sent != deep.sent:  # until no buffer on the way takes more
                sent = deep.sent
                await ask_quickly()
            assert 0 < sent < total / 2, "they have not begun to read"
            begin.set()
            for _ in range(ROUNDS):
                await ask_quickly()
                most = max(most, memory().rss)
            for one in asyncio.as_completed(readers):
                await one
                most = max(most, memory().rss)
        assert [one.result() for one in readers] == [whole] * READERS
        assert most - before < MOST_HELD
        while await outcomes(it, http) != {"ok": asked + READERS}:
            pass
    assert (deep.sent, len(deep.asked), len(quick.asked)) == (total, READERS, asked)
