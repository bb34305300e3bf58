"""Answers of servers met over HTTP, as clients of the gateway get them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service
from tests.parts.upstream import DONE, HELLO, USAGE, USAGE_CHUNK, Upstream, chunk, says

USER: list[Any] = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def before(upstream: Upstream, **settings: object) -> AsyncGenerator[Served]:
    async with upstream.running(), served(upstream.engine(), **settings) as it, asyncio.timeout(20):
        yield it


async def test_openais_sdk_understands_what_is_passed_on() -> None:
    async with before(Upstream(says())) as it, it.sdk() as sdk:
        answer = await sdk.chat.completions.create(model="here", messages=USER)
        assert answer.choices[0].message.content == "Hello"
        assert answer.model == "here"
        assert answer.usage is not None and answer.usage.completion_tokens == 2
        stream = await sdk.chat.completions.create(model="here", messages=USER, stream=True)
        said = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(said) == "Hello"
    assert it.outcomes() == {"ok": 2}


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_and_times_are_counted_although_nothing_is_decoded(stream: bool) -> None:
    async with before(Upstream(says())) as it:
        await it.chat(stream=stream)
        told = {k: it.metric("tokens_total", engine="far", kind=k) for k in ("prompt", "cached")}
        assert told == {"prompt": 3, "cached": 1}
        assert it.metric("tokens_total", engine="far", kind="completion") == 2
        assert it.metric("time_to_first_token_seconds_count", engine="far") == 1
        assert it.metric("turns_total", engine="far") == 1


async def test_the_bytes_of_a_stream_are_the_servers_own() -> None:
    upstream = Upstream(says())
    async with before(upstream) as it:
        answer = await it.chat(stream=True, stream_options={"include_usage": True})
        assert answer.content == b"".join(HELLO).replace(b'"there"', b'"here"')
        answer = await it.chat(stream=True)
        assert USAGE_CHUNK not in answer.content
        assert answer.content.count(DONE) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_openai_repeats_of_a_request_is_put_in(stream: bool) -> None:
    async with before(Upstream(says())) as it:
        answer = await it.chat(stream=stream, metadata={"a": "b"}, service_tier="auto")
    first = answer.content.split(b"\n\n")[0].removeprefix(b"data: ")
    body = msgspec.json.decode(first)
    assert (body["metadata"], body["service_tier"]) == ({"a": "b"}, "default")
    assert answer.content.count(b'"metadata"') == 1


async def test_usage_with_every_chunk_is_counted_here() -> None:
    async with before(Upstream(says())) as it:
        options = {"include_usage": True, "continuous_usage_stats": True}
        answer = await it.chat(stream=True, stream_options=options)
    bodies = [msgspec.json.decode(e[6:]) for e in answer.content.split(b"\n\n")[:-2]]
    assert all("usage" in body for body in bodies)
    assert bodies[-1]["usage"] == {**USAGE}
    assert bodies[-1]["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_completion_is_passed_on_too(stream: bool) -> None:
    async with before(Upstream(says())) as it:
        answer = await it.ask("POST", "/v1/completions", {"prompt": "hi", "stream": stream})
    assert answer.status == 200
    assert b'"text":"Hel' in answer.content.replace(b": ", b":")
    assert answer.content.endswith(DONE) == stream


@pytest.mark.parametrize("stream", [False, True])
async def test_server_side_tools_work_with_a_server_met_over_http(stream: bool) -> None:
    upstream, tool = Upstream(says()), ScriptedTool()

    async def manner(
        upstream: Upstream, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        function = {"name": "search", "arguments": '{"q": "x"}'}
        calls = [{"index": 0, "id": "c", "type": "function", "function": function}]
        asks = [chunk(tool_calls=calls), chunk(reason="tool_calls"), USAGE_CHUNK, DONE]
        return await says(HELLO if len(upstream.asked) > 1 else asks)(upstream, request, body)

    async with tools_service(tool) as url, before(upstream, tools={"url": url}) as it:
        upstream.manner = manner
        server = [{"type": "mcp", "server_label": "roundhouse"}]
        answer = await it.chat(tools=server, stream=stream)
    assert answer.status == 200
    assert b"Hello" in answer.content or b'"lo"' in answer.content
    first, second = upstream.asked
    assert first["tools"][0]["function"]["name"] == "search"
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert it.outcomes() == {"ok": 1}


async def test_a_model_whose_context_is_not_known_is_listed_without_it() -> None:
    upstream = Upstream(says())
    async with before(upstream) as it:
        assert (await it.ask("GET", "/v1/models/here")).json["max_model_len"] == 4096
        it.gateway.engines[0].max_model_len = 0
        assert "max_model_len" not in (await it.ask("GET", "/v1/models/here")).json
