"""Where requests come in: what makes tokens on a short way, all else through FastAPI."""

from collections.abc import Mapping

from fastapi import FastAPI

from gateway.api.exchange import Receive, Scope, Send, traced
from gateway.api.generation import Generation


class Front:
    """The ASGI application: FastAPI, and before it the endpoints that stream.

    FastAPI's middlewares wrap every message sent; on a stream that is every token.
    """

    def __init__(self, pages: FastAPI, hot: Mapping[str, Generation]) -> None:
        self.pages = pages
        self._hot = hot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._hot.get(scope["path"])
            if endpoint is not None:
                await endpoint(scope, receive, send)
                return
        await self.pages(scope, receive, traced(scope, send))
