"""A whole house under load, and a Prometheus that scrapes it."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from gateway.config import GatewayConfig
from tests.e2e.conftest import House, demo_config, house, tools_process
from tests.parts.prometheus import Prometheus, prometheus

MCP: Any = {"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}
QUEUE = {"running": 2, "waiting": 1}
STRANGE = "no label may say this"
"""What clients write wherever they may."""


@pytest_asyncio.fixture(scope="session")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus that has seen a house do everything that its metrics tell of."""
    if shutil.which("prometheus") is None and not os.environ.get("CI"):
        pytest.skip("prometheus is missing: run scripts/services")
    folder = tmp_path_factory.mktemp("scraped")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens: a search engine that is down
        down = {"provider": "searxng", "url": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        gone = {"transport": "stdio", "command": "false", "tools": "all"}
        settings = {
            "search": down,
            "upstreams": {"gone": gone},
            "pins_path": str(folder / "pins.json"),
        }
        async with tools_process(folder, **settings) as tools:
            config = {"port": 0, "queue": QUEUE, "tools": {"url": f"{tools.url}/mcp"}}
            async with house(GatewayConfig.model_validate(config), demo_config()) as running:
                targets = {"gateway": running.url, "tools_service": tools.url}
                addresses = {job: url.removeprefix("http://") for job, url in targets.items()}
                async with prometheus(folder, addresses) as watching:
                    await _seen(watching, running)
                    yield watching


async def _seen(watching: Prometheus, running: House) -> None:
    """Load, twice: a rate is the growth between two scrapes."""
    async with running.client() as client:
        answered = 0
        for ended in (1, 2):
            answered += await _load(client)
            await watching.until(f'sum(roundhouse_requests_total{{outcome="ok"}}) >= {answered}')
            await watching.until(f"sum(roundhouse_tools_service_calls_total) >= {4 * ended}")
    for record in ("roundhouse:failures:ratio_rate1h", "roundhouse:calibration:ratio_rate1h"):
        await watching.until(f"{record} >= 0")


async def _load(client: openai.AsyncOpenAI) -> int:
    """Everything a client may do; how many requests were answered."""
    headers = {"x-roundhouse-session": STRANGE, "x-roundhouse-group": STRANGE}
    for question in ("What is 12 + 30?", "What is 17 * 23?", f"Search for {STRANGE}"):
        await _ask(client, question, extra_headers=headers)
    stream = await _ask(client, "What is 12 + 30?", stream=True)
    assert [chunk async for chunk in stream]
    await client.completions.create(model="demo", prompt=STRANGE, max_tokens=4, user=STRANGE)
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model=STRANGE, messages=[])
    more = QUEUE["running"] + QUEUE["waiting"] + 5
    crowd = [_ask(client, "Hello", max_tokens=200, ignore_eos=True) for _ in range(more)]
    ends = await asyncio.gather(*crowd, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, BaseException)]
    assert refused and all(isinstance(end, openai.RateLimitError) for end in refused)
    return 5 + len(ends) - len(refused)


async def _ask(client: openai.AsyncOpenAI, question: str, **fields: Any) -> Any:
    extra = {"ignore_eos": fields.pop("ignore_eos", False)}
    return await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": question}],
        tools=[MCP],
        temperature=0,
        extra_body=extra,
        **fields,
    )
