"""Health for those who watch: /livez, /readyz, /health, and /metrics."""

from collections.abc import Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway.desk import Desk

UNAVAILABLE = 503


def routes(
    desk: Desk, registry: CollectorRegistry, health_s: float, is_stopping: Callable[[], bool]
) -> APIRouter:
    """The pages that need no key: they tell states and counts, never content."""
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """Whether the process answers at all."""
        return {"status": "ok"}

    @router.get("/health")
    async def health() -> JSONResponse:
        """Whether every engine lives, and answers or sleeps."""
        engines = await desk.check(health_s)
        well = all(state in ("ok", "asleep") for state in engines.values())
        return JSONResponse(
            {"status": "ok" if well else "degraded", "engines": engines},
            200 if well else UNAVAILABLE,
        )

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether new requests are welcome: some engine answers, and nobody is leaving."""
        engines = await desk.check(health_s)
        status = "ready" if "ok" in engines.values() else "no engine answers"
        if is_stopping():
            status = "stopping"
        code = 200 if status == "ready" else UNAVAILABLE
        return JSONResponse({"status": status, "engines": engines}, code)

    @router.get("/metrics")
    async def metrics() -> Response:
        """Everything Prometheus wants to know."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
