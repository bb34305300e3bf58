"""Whether an engine is ready: it is when it has written a real token."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from engine.errors import BadCall
from engine.protocol import Engine
from engine.types import Call, Endpoint

CHAT = {"messages": [{"role": "user", "content": "."}], "max_tokens": 1}
TEXT = {"prompt": ".", "max_tokens": 1}


async def answer_token(engine: Engine, timeout_s: float) -> None:
    """Return when the engine has written one token. Raises EngineError and TimeoutError."""
    async with asyncio.timeout(timeout_s):
        try:
            await _ask(engine, "chat", CHAT)
        except BadCall:  # a model without a chat template
            await _ask(engine, "completion", TEXT)


async def _ask(engine: Engine, endpoint: Endpoint, body: Mapping[str, object]) -> None:
    call = Call(f"probe-{engine.name}", endpoint, body, stream=False)
    async with aclosing(engine.generate(call)) as events:
        async for _ in events:
            pass
