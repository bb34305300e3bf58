"""The load generator against a small real server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.load import CONVERSATION, LoadPlan, LoadResult, Quantiles, Run, quantiles

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
EVENTS = [ROLE, TEXT, TEXT, TEXT, USAGE, DONE]

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


WHOLE = HEAD + b"".join(chunk(event) for event in EVENTS) + b"0\r\n\r\n"


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that hands each request to `answer`; yields its port and the bodies it got."""
    bodies: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the generator has hung up
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


async def measured(answer: Answer, *, streams: int = 2, streamed: bool = True) -> LoadResult:
    async with serving(answer) as (port, _), asyncio.timeout(10):
        plan = LoadPlan(port, "{}", streams, duration_s=0.2, warm_up_s=0.1, streamed=streamed)
        return await Run(plan).measure()


def whole(data: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return answer


async def test_events_and_tokens_of_a_known_stream_are_counted() -> None:
    result = await measured(whole(WHOLE))
    assert result.errors == {}
    assert result.requests > 2
    assert result.tokens / result.events == pytest.approx(3 / len(EVENTS))
    assert result.ttft.count >= 1


async def test_a_reply_in_single_bytes_counts_the_same() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        for i in range(len(WHOLE)):
            writer.write(WHOLE[i : i + 1])
            await writer.drain()

    result = await measured(answer)
    assert result.errors == {}
    assert result.tokens / result.events == pytest.approx(3 / len(EVENTS), rel=0.2)


async def test_a_status_other_than_200_is_an_error() -> None:
    refused = b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    result = await measured(whole(refused))
    assert set(result.errors) == {"status 500"}
    assert result.tokens == 0


async def test_a_server_that_closes_in_mid_stream_is_an_error() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(ROLE) + chunk(TEXT))
        writer.close()

    result = await measured(answer)
    assert set(result.errors) == {"closed before the reply was complete"}
    assert result.tokens == 0


async def test_a_stream_without_done_is_an_error() -> None:
    result = await measured(whole(WHOLE.replace(chunk(DONE), b"")))
    assert set(result.errors) == {"the stream ended without [DONE]"}


async def test_bytes_after_a_reply_are_an_error() -> None:
    result = await measured(whole(WHOLE + b"more"))
    assert set(result.errors) == {"bytes after the reply"}


async def test_short_answers_are_counted_without_events() -> None:
    body = b'{"choices":[],"usage":{"completion_tokens":4}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    result = await measured(whole(head + body), streamed=False)
    assert result.errors == {}
    assert result.events == 0
    assert result.tokens >= 4 * result.requests > 0


async def test_the_next_request_uses_the_same_connection() -> None:
    connections = set()

    async def answer(writer: asyncio.StreamWriter) -> None:
        connections.add(writer.get_extra_info("peername"))
        writer.write(WHOLE)

    result = await measured(answer, streams=3)
    assert result.requests > 3
    assert len(connections) == 3


async def test_the_request_goes_out_as_planned() -> None:
    async with serving(whole(WHOLE)) as (port, bodies), asyncio.timeout(10):
        await Run(LoadPlan(port, '{"é":1}', 1, duration_s=0.05, warm_up_s=0.0)).measure()
    assert set(bodies) == {'{"é":1}'.encode()}


async def test_conversations_take_their_turns_and_are_told_apart() -> None:
    turns = [f'{{"turn":{turn},"by":"{CONVERSATION}"}}' for turn in range(3)]
    async with serving(whole(WHOLE)) as (port, bodies), asyncio.timeout(10):
        plan = LoadPlan(port, turns[0], 1, duration_s=0.1, warm_up_s=0.0, further=turns[1:])
        result = await Run(plan).measure()
    assert result.errors == {} and len(bodies) > 6
    said = [json.loads(body) for body in bodies]
    assert [turn["turn"] for turn in said] == [at % 3 for at in range(len(said))]
    conversations = [{turn["by"] for turn in said[at : at + 3]} for at in range(0, len(said), 3)]
    assert all(len(names) == 1 for names in conversations)
    assert len(set.union(*conversations)) == len(conversations)


def test_quantiles_are_nearest_rank_in_milliseconds() -> None:
    assert quantiles([i / 1000 for i in range(100)]) == Quantiles(100, 50.0, 99.0)
    assert quantiles([]) == Quantiles(0, None, None)
