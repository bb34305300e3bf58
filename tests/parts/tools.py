"""A small tools service on a real socket: MCP over HTTP, with tools that do what the test says."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web


@dataclass
class ScriptedTool:
    """A tool and what becomes of its calls.

    With a `gate` the result waits for it; a tool that `dies` takes the connection with it.
    """

    name: str = "search"
    text: str = "found"
    failed: bool = False
    gate: asyncio.Event | None = None
    dies: bool = False
    expected_s: tuple[float, float] = (0.5, 1.5)
    run_s: float = 1.0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the caller has gone before the result."""
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    """The `params` of every call."""

    def offer(self) -> dict[str, object]:
        """The tool as the list has it."""
        return {
            "name": self.name,
            "description": f"Scripted {self.name}.",
            "inputSchema": {"type": "object"},
        }

    @property
    def runs(self) -> bool:
        """Whether a call waits for the gate."""
        return self.gate is not None and self.started.is_set() and not self.gate.is_set()

    def line(self) -> dict[str, object]:
        """The tool as the runtime table has it."""
        low, high = self.expected_s
        middle = {"mean_s": (low + high) / 2, "p50_s": (low + high) / 2}
        ends = {"p10_s": low, "p90_s": high, "p95_s": high, "p99_s": high}
        row = {"tool": self.name, "shape": "*", "kind": "search", "samples": len(self.calls)}
        return {**row, **middle, **ends}

    async def run(self, params: Mapping[str, Any], answer: web.StreamResponse) -> object:
        """Tell that the call has begun, then give its result."""
        self.calls.append(params)
        await _say(answer, _progress(params, self.expected_s))
        self.started.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return {
            "content": [{"type": "text", "text": self.text}],
            "isError": self.failed,
            "_meta": {
                "roundhouse/runtime": {
                    "outcome": "error" if self.failed else "ok",
                    "expected_s": self.expected_s,
                    "wait_s": 0.0,
                    "run_s": self.run_s,
                }
            },
        }


@asynccontextmanager
async def tools_service(*tools: ScriptedTool) -> AsyncGenerator[str]:
    """Serve the tools; gives the URL of the MCP endpoint."""
    by_name = {tool.name: tool for tool in tools}

    async def mcp(request: web.Request) -> web.StreamResponse:
        message = msgspec.json.decode(await request.read())
        if message["method"] == "tools/list":
            return web.json_response(
                _response(message, {"tools": [tool.offer() for tool in tools]})
            )
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        tool = by_name[message["params"]["name"]]
        result = await tool.run(message["params"], answer)
        if tool.dies:
            assert request.transport is not None
            request.transport.abort()
        else:
            await _say(answer, _response(message, result))
        return answer

    async def runtimes(_: web.Request) -> web.Response:
        return web.json_response({"runtimes": [tool.line() for tool in tools]})

    async def running(_: web.Request) -> web.Response:
        return web.json_response({"running": [{"tool": t.name} for t in tools if t.runs]})

    app = web.Application()
    app.router.add_post("/mcp", mcp)
    app.router.add_get("/runtimes", runtimes)
    app.router.add_get("/running", running)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/mcp"
    finally:
        await runner.cleanup()


def _response(message: Mapping[str, Any], result: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _progress(params: Mapping[str, Any], expected_s: tuple[float, float]) -> dict[str, object]:
    return {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {
            "progressToken": params["_meta"]["progressToken"],
            "progress": 0,
            "_meta": {"roundhouse/started": {"expected_s": expected_s, "wait_s": 0.0}},
        },
    }


async def _say(answer: web.StreamResponse, message: Mapping[str, object]) -> None:
    await answer.write(b"data: " + msgspec.json.encode(message) + b"\n\n")
