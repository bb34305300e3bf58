"""Calls to a server met over HTTP, and what came of them."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from engine.http.backend import HttpEngine
from engine.types import Call, Event, Passed
from tests.parts.upstream import Upstream

USER = [{"role": "user", "content": "hi"}]


def call(*, stream: bool = True, verbatim: bool = True, **fields: Any) -> Call:
    return Call("chatcmpl-1", "chat", {"messages": USER, **fields}, stream, None, verbatim)


async def ask(engine: HttpEngine, asked: Call) -> list[Event]:
    async with asyncio.timeout(10), aclosing(engine.generate(asked)) as events:
        return [event async for event in events]


async def answered(upstream: Upstream, asked: Call, **settings: object) -> list[Event]:
    """What comes of one call to a server of this manner."""
    async with upstream.running():
        engine = upstream.engine(**settings)
        await engine.start()
        try:
            return await ask(engine, asked)
        finally:
            await engine.close()


def passed(events: Sequence[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Passed))
