"""An MCP server that writes down what it does: `python chaos_upstream.py KIND PORT LEDGER`.

Each line of the ledger is one act of one process: `born stdio 123`, or `pay 17 123`. A server on
HTTP prints the port it got.
"""

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("chaos")
kind, port, ledger = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def note(what: str, which: str) -> None:
    """In one write, so that lines of several processes do not mix."""
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what} {which} {os.getpid()}\n".encode())
    os.close(file)


async def act(what: str, which: str, nap_s: float) -> str:
    note(what, which)
    await asyncio.sleep(nap_s)
    return which


@server.tool()
async def pay(which: str, nap_s: float) -> str:
    """Must not be done twice."""
    return await act("pay", which, nap_s)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def look(which: str, nap_s: float) -> str:
    """May be done any number of times."""
    return await act("look", which, nap_s)


note("born", kind)
if kind == "stdio":
    server.run("stdio")
else:
    with socket.create_server(("127.0.0.1", port)) as sock:
        sys.stdout.write(f"{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(server.streamable_http_app(), log_level="error")
        uvicorn.Server(config).run([sock])
