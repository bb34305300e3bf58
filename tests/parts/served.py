"""A gateway with scripted engines, on a real socket."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import uvicorn
from openai import AsyncOpenAI

from engine.protocol import Engine
from gateway.app import Gateway, create_app
from gateway.config import GatewayConfig
from gateway.metrics import OUTCOMES


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object, which must be whole."""
        error = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str) and error["message"]
        return dict(error)


@dataclass(frozen=True, slots=True)
class Served:
    """A running gateway and the ways to it."""

    gateway: Gateway
    server: uvicorn.Server
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request, its answer read to the end; bytes are sent as they are."""
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        said = {"content-type": "application/json"} if data is not None else {}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.url + path, data=data, headers=said) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def chat(self, **fields: object) -> Answer:
        """One chat request."""
        body = {"messages": [{"role": "user", "content": "hi"}], **fields}
        return await self.ask("POST", "/v1/chat/completions", body)

    def sdk(self, api_key: str = "none") -> AsyncOpenAI:
        """OpenAI's own client; use it in `async with`."""
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=api_key, max_retries=0)

    def metric(self, name: str, **labels: str) -> float:
        """The value of one sample, 0 if there is none."""
        return self.gateway.registry.get_sample_value(f"roundhouse_{name}", labels) or 0.0

    def outcomes(self) -> dict[str, float]:
        """How many requests ended in what way, endpoints together."""
        counts: dict[str, float] = {}
        for family in self.gateway.metrics.requests.collect():
            for sample in family.samples:
                if sample.name.endswith("_total") and sample.value:
                    outcome = sample.labels["outcome"]
                    assert outcome in OUTCOMES
                    counts[outcome] = counts.get(outcome, 0.0) + sample.value
        return counts


@asynccontextmanager
async def served(*engines: Engine, **settings: object) -> AsyncGenerator[Served]:
    """Serve the engines with a gateway of these settings."""
    gateway = Gateway(GatewayConfig.model_validate(settings), engines, None)
    async with gateway.running(), listening(gateway) as server, aiohttp.ClientSession() as http:
        yield Served(gateway, server, http)


@asynccontextmanager
async def listening(gateway: Gateway) -> AsyncGenerator[uvicorn.Server]:
    """uvicorn around the gateway, without its signals and its ticking.

    The tasks of all requests have ended when this returns.
    """
    config = create_app(gateway).served(port=0, log_level="warning")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server
    finally:
        for accepting in server.servers:
            accepting.close()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await asyncio.gather(*server.server_state.tasks)
