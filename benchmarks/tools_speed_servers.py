"""The servers of the speed benchmark: `python -m benchmarks.tools_speed_servers NAME`.

All do the same work: they return the text they are given, and live as tools_hosting.py says. Each
imports what it measures and no more; FastMCP runs from a virtual environment of its own, so nothing
here may be imported at the top.
"""

import asyncio
import socket
import sys
from typing import Any

TOOL = "echo"


def plain() -> Any:
    """An endpoint of FastAPI: what no server in Python is much below."""
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Ask(BaseModel):
        name: str
        arguments: dict[str, Any]

    class Reply(BaseModel):
        content: list[dict[str, Any]]
        isError: bool = False

    app = FastAPI()

    @app.post("/mcp")
    async def call(ask: Ask) -> Reply:
        return Reply(content=[{"type": "text", "text": ask.arguments["text"]}])

    return app


def ours() -> Any:
    """The tools service: queue, schedule, table, metrics, schema check."""
    from prometheus_client import CollectorRegistry

    from benchmarks.tools_echo import Echo
    from tools_service.config import ToolsServiceConfig
    from tools_service.server import create_app
    from tools_service.service import assemble

    config = ToolsServiceConfig.model_validate({"port": 0, "slots": 64})
    return create_app(assemble(config, (Echo(),), CollectorRegistry()))


def sdk() -> Any:
    """The MCP SDK's own high-level server."""
    from mcp.server import MCPServer

    server = MCPServer("bench", log_level="WARNING")

    @server.tool()
    async def echo(text: str) -> str:
        """Return the text."""
        return text

    return server.streamable_http_app()


def fastmcp() -> Any:
    """FastMCP."""
    from fastmcp import FastMCP

    server = FastMCP("bench")

    async def echo(text: str) -> str:
        """Return the text."""
        return text

    server.tool(echo)
    return server.http_app(path="/mcp")


SERVERS = {"plain": plain, "ours": ours, "sdk": sdk, "fastmcp": fastmcp}


async def serve(name: str) -> None:
    """Until standard input ends."""
    import uvicorn

    # As our service's own: without the protocol named, asyncio leaves Nagle on.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(2048)
    config = uvicorn.Config(SERVERS[name](), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([sock]))
        sys.stdout.write(f"http://127.0.0.1:{sock.getsockname()[1]}/mcp\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(sys.argv[1]))
    else:
        uvloop.run(serve(sys.argv[1]))
