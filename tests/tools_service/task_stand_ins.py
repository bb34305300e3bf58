"""A client for tasks: plain requests of 2026-07-28."""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession

TASKS = "io.modelcontextprotocol/tasks"
ENDED = ("completed", "failed", "cancelled")


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data")


@dataclass
class TaskClient:
    """Asks one service as one caller."""

    url: str
    http: ClientSession
    capabilities: Mapping[str, Any] = field(
        default_factory=lambda: {"elicitation": {}, "extensions": {TASKS: {}}}
    )
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result. Raises Refused."""
        async with self.post(method, params) as response:
            whole = json.loads((await response.text()).split("data: ")[-1])
        if "error" in whole:
            raise Refused(whole["error"])
        result: dict[str, Any] = whole["result"]
        return result

    @asynccontextmanager
    async def post(self, method: str, params: Mapping[str, Any]) -> AsyncIterator[ClientResponse]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            **params.get("_meta", {}),
        }
        body = {
            "jsonrpc": "2.0",
            "id": next(self.numbers),
            "method": method,
            "params": {**params, "_meta": meta},
        }
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
        }
        if name := params.get("name") or params.get("taskId"):
            headers["mcp-name"] = name
        async with self.http.post(f"{self.url}/mcp", json=body, headers=headers) as response:
            yield response

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        return await self.ask("tools/call", name=name, arguments=arguments)

    async def begin(self, name: str, **arguments: Any) -> str:
        """The id of the task that the call became."""
        made = await self.call(name, **arguments)
        assert made["resultType"] == "task"
        return str(made["taskId"])

    async def get(self, id: str) -> dict[str, Any]:
        return await self.ask("tasks/get", taskId=id)

    async def until(self, id: str, *statuses: str) -> dict[str, Any]:
        """Asks until the task has one of these."""
        while True:
            task = await self.get(id)
            if task["status"] in statuses:
                return task


@asynccontextmanager
async def client(url: str, token: str = "", **capabilities: Any) -> AsyncIterator[TaskClient]:
    """A client of one caller; without capabilities, one that can handle tasks and elicitation."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with ClientSession(headers=headers) as http:
        made = TaskClient(url, http)
        if capabilities:
            made.capabilities = capabilities
        yield made
