"""An MCP server as others write them, to stand behind ours: `python upstream_server.py KIND PORT`.

Prints the port it got. `FIXTURE` in the environment changes what it offers.
"""

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server = MCPServer("fixture")
stopped = asyncio.Event()

ECHO = f"Say it back.{os.environ.get('FIXTURE', '')}"


@server.tool(description=ECHO, annotations=ToolAnnotations(read_only_hint=True))
async def echo(text: str) -> str:
    return text


@server.tool()
async def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool()
async def picture() -> Image:
    """Draw."""
    return Image(data=b"not really a picture", format="png")


@server.tool()
async def fail() -> str:
    """Fail."""
    raise ToolError("no such\u200b thing")


@server.tool()
async def hang(ctx: Context) -> str:
    """Tell that it has begun, then wait for ever."""
    await ctx.report_progress(1, 2, "half way")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        stopped.set()
        raise
    return "never"


@server.tool()
async def cancelled() -> str:
    """Wait until hang has been cancelled."""
    await stopped.wait()
    return "yes"


@server.tool()
async def die() -> str:
    """End the process at once."""
    os._exit(3)


@server.tool()
async def surroundings(ctx: Context) -> dict[str, object]:
    """What the server was given."""
    sys.stderr.write(f"password=hunter22 of {os.environ.get('GIVEN_KEY')}\n")
    sys.stderr.flush()
    headers = dict(ctx.headers or {})
    group = os.getpgid(0)
    trace = (ctx.request_context.meta or {}).get("traceparent")
    names, pid = sorted(os.environ), os.getpid()
    return {"names": names, "pid": pid, "group": group, "headers": headers, "trace": trace}


@server.tool()
async def grow(ctx: Context) -> str:
    """Offer one tool more, and say so."""

    @server.tool()
    async def grown() -> str:
        """New."""
        return "grown"

    await ctx.session.send_tool_list_changed()
    await ctx.notify_tools_changed()
    return "done"


def main(kind: str, port: int) -> None:
    if kind == "stdio":
        server.run("stdio")
        return
    app = server.sse_app() if kind == "sse" else server.streamable_http_app()
    with socket.create_server(("127.0.0.1", port)) as sock:
        sys.stdout.write(f"{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0)
        uvicorn.Server(config).run([sock])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
