"""What is read beside MCP: `/health`, `/metrics`, `/runtimes`, `/running`."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tools_service.executor import Executor
from tools_service.runtimes import Table

Endpoint = Callable[[Request], Awaitable[Response]]


def runtimes(table: Table) -> Endpoint:
    """The runtime table."""

    async def endpoint(request: Request) -> Response:
        body = msgspec.json.encode({"runtimes": list(table.lines())})
        return Response(body, media_type="application/json")

    return endpoint


def running(executor: Executor) -> Endpoint:
    """The calls that run just now."""

    async def endpoint(request: Request) -> Response:
        body = msgspec.json.encode({"running": list(executor.runs)})
        return Response(body, media_type="application/json")

    return endpoint


def health(executor: Executor) -> Endpoint:
    """Whether calls are taken, and how many there are."""

    async def endpoint(request: Request) -> Response:
        state: Mapping[str, object] = {
            "status": "draining" if executor.draining else "ok",
            "running": executor.running,
            "waiting": executor.waiting,
        }
        return JSONResponse(state, status_code=503 if executor.draining else 200)

    return endpoint


def metrics(prometheus: CollectorRegistry) -> Endpoint:
    """All instruments, as Prometheus reads them."""

    async def endpoint(request: Request) -> Response:
        return Response(generate_latest(prometheus), media_type=CONTENT_TYPE_LATEST)

    return endpoint
