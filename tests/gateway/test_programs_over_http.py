"""Admission by program before engines met over HTTP."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from gateway.working_set import WorkingSet
from tests.parts.served import Answer, Served, served
from tests.parts.upstream import DONE, HELLO, USAGE_CHUNK, Upstream, chunk, line, says

LONG = "x" * 24_000  # about 6000 tokens
PAGE = (
    "vllm:num_requests_running 0.0\n"
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="625"} 1.0\n'
)
CALL = {"index": 0, "id": "c1", "function": {"name": "mine", "arguments": "{}"}}
OWN = {"type": "function", "function": {"name": "mine"}}
PATIENT = {"patience": 1e9}


def calls(usage: object) -> tuple[bytes, ...]:
    """A stream that ends with a call, and tells this of its tokens."""
    told = line({"id": "c", "choices": [], "usage": usage})
    return (chunk(tool_calls=[CALL]), chunk(reason="tool_calls"), told, DONE)


def used(**more: object) -> dict[str, object]:
    return {"prompt_tokens": 6000, "completion_tokens": 10, **more}


@asynccontextmanager
async def gateway(upstream: Upstream, **settings: object) -> AsyncGenerator[Served]:
    """A gateway before the server, once it knows the pool."""
    async with upstream.running(), asyncio.timeout(20):
        engine = upstream.engine(name="far", http={"load_s": 0.01})
        async with served(engine, **settings) as it:
            while not engine.load().kv_tokens:
                await it.ask("GET", "/livez")
            yield it


async def ask(it: Served, session: str, **fields: Any) -> Answer:
    body = {"messages": [{"role": "user", "content": LONG}], "tools": [OWN], "stream": True}
    return await it.ask("POST", "/v1/chat/completions", {**body, **fields}, x_session_id=session)


def held(it: Served) -> WorkingSet:
    assert it.gateway.gate is not None
    return it.gateway.gate.sets()["far"]


async def until_waiting(it: Served) -> None:
    while not it.metric("programs", engine="far", stand="waiting"):
        await it.ask("GET", "/livez")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_program_that_does_not_fit_waits_before_a_server_too(stream: bool) -> None:
    whole = {
        "choices": [{"message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}],
        "usage": used(),
    }
    upstream = Upstream(says(calls(used()), whole), metrics=PAGE)
    async with gateway(upstream, programs=PATIENT) as it:
        assert (await ask(it, "first", stream=stream)).status == 200
        second = asyncio.create_task(ask(it, "second", stream=stream))
        await until_waiting(it)
        assert held(it).demand > 6000
        await it.ask("DELETE", "/v1/sessions/first")
        assert (await second).status == 200


async def test_usage_nobody_asked_for_is_accounted_and_not_shown() -> None:
    cached = {"prompt_tokens_details": {"cached_tokens": 4000}}
    async with gateway(Upstream(says(calls(used(**cached))), metrics=PAGE)) as it:
        answer = await ask(it, "first")
        assert b"usage" not in answer.content
        assert held(it).demand == 6010 + 1500, "its context, the shared part once, and its growth"
        assert it.metric("tokens_total", engine="far", kind="cached") == 4000


async def test_a_turn_whose_usage_the_server_keeps_to_itself_counts_by_its_size() -> None:
    """A usage of nothing would have said that the program needs no cache at all."""
    silent = (*calls(None)[:2], DONE)
    async with gateway(Upstream(says(silent), metrics=PAGE), programs=PATIENT) as it:
        assert (await ask(it, "first")).status == 200
        assert held(it).demand > 6000
        second = asyncio.create_task(ask(it, "second"))
        await until_waiting(it)
        await it.ask("DELETE", "/v1/sessions/first")
        assert (await second).status == 200


async def test_a_server_that_does_not_tell_what_was_cached_lowers_no_target() -> None:
    """vLLM tells it only with --enable-prompt-tokens-details; silence was taken for misses."""
    async with gateway(Upstream(says(calls(used())), metrics=PAGE)) as it:
        for _ in range(60):
            assert (await ask(it, "first")).status == 200
        assert it.metric("programs_target_ratio", engine="far") == 0.95


async def test_who_has_its_streamed_answer_makes_room_at_once() -> None:
    """Only in-process engines said that a turn had ended without a call."""
    answers = tuple(piece for piece in HELLO if piece != USAGE_CHUNK)[:-1]
    told = line({"id": "c", "choices": [], "usage": used()})
    async with gateway(Upstream(says((*answers, told, DONE)), metrics=PAGE)) as it:
        for session in ("first", "second", "third"):
            assert (await ask(it, session)).status == 200
        assert it.metric("programs_set_aside_total", engine="far") == 2


async def test_the_prefill_rate_is_learned_from_streams() -> None:
    cached = {"prompt_tokens_details": {"cached_tokens": 0}}
    upstream = Upstream(says(calls(used(**cached))), metrics=PAGE)
    async with gateway(upstream) as it:
        await ask(it, "first")
        assert held(it).rate != 10_000
        rate = held(it).rate
        whole = {"choices": [{"message": {"content": "a"}}], "usage": used(**cached)}
        upstream.manner = says((), msgspec.to_builtins(whole))
        await ask(it, "first", stream=False)
        assert held(it).rate == rate, "its first byte comes when all is written"
