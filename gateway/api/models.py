"""GET /v1/models and /v1/models/{id}."""

from typing import Any

from fastapi import APIRouter, Request

from gateway.access import Access
from gateway.desk import Desk
from gateway.errors import NotFound


def routes(access: Access, desk: Desk, started: int) -> APIRouter:
    """The models API; `started` is the Unix time every model is said to be created at."""
    router = APIRouter()

    def card(name: str) -> dict[str, Any]:
        told = {"id": name, "object": "model", "created": started, "owned_by": "roundhouse"}
        length = desk.models[name]
        return {**told, "max_model_len": length} if length else told

    @router.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """Every model that is served."""
        await access.grant(request.headers.get("authorization"))
        return {"object": "list", "data": [card(name) for name in sorted(desk.models)]}

    @router.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> dict[str, Any]:
        """One model."""
        await access.grant(request.headers.get("authorization"))
        if name not in desk.models:
            raise NotFound(
                f"the model '{name}' does not exist", param="model", code="model_not_found"
            )
        return card(name)

    return router
