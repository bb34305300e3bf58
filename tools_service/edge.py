"""What the HTTP server leaves to do around every request."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from tools_service.executor import Executor


class Trimmed:
    """Takes white space off the ends of header values: HTTP says it is not part of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


class Farewell:
    """Lets what outlives the drain end in silence; uvicorn would log each as a crash."""

    def __init__(self, app: ASGIApp, executor: Executor) -> None:
        self._app = app
        self._executor = executor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._executor.draining:
                raise
