"""Servers on loopback that stand in for the web, and a guard's resolver and connector to watch."""

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import aiohttp
from aiohttp import web

from tools_service.tools.download import Downloader, Limits, open_socket
from tools_service.tools.guard import Guard
from tools_service.tools.reader import Reader
from tools_service.tools.registry import Context

NOBODY = Context()
LOOPBACK = (ip_network("127.0.0.0/8"),)
LIMITS = Limits(size=100_000, redirects=3, timeout_s=5.0)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A server for every path and method; gives its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Api:
    """A server that answers every request alike and remembers what it was asked."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[dict[str, object]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.can_read_body:
            self.bodies.append(json.loads(await request.read()))
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(
            text=text, status=self.status, content_type="application/json", headers=self.headers
        )


@dataclass
class Wire:
    """A resolver that knows these names, and a connector that notes what is dialled."""

    names: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """For each name the answers to give, one after the other; the last one stays."""
    asked: list[str] = field(default_factory=list)
    dialled: list[str] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.names.get(host, ())
        if not answers:
            raise socket.gaierror("unknown")
        return answers[min(self.asked.count(host), len(answers)) - 1]

    def dial(self, where: aiohttp.AddrInfoType) -> socket.socket:
        """Connects to loopback only, whatever the test asks for."""
        self.dialled.append(str(where[4][0]))
        if not self.dialled[-1].startswith("127."):
            raise ConnectionRefusedError("not in a test")
        return open_socket(where)


def downloader(wire: Wire | None = None, limits: Limits = LIMITS) -> Downloader:
    """One that may reach loopback; with a wire it asks that one for names and sockets."""
    watched = wire or Wire()
    guard = Guard(ports=None, resolve=watched.resolve, inside=LOOPBACK)
    return Downloader(guard, limits, dial=watched.dial)


def reader() -> Reader:
    """Reads from loopback, and from nowhere else."""
    return Reader(downloader().get, longest=40_000)
