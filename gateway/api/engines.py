"""GET /v1/engines, and draining one of them: for operators."""

import hmac
from typing import Any

from fastapi import APIRouter, Request

from gateway.errors import NotFound, Unauthorized
from gateway.fleet import Fleet, Member


def routes(fleet: Fleet, admin_key: str | None) -> APIRouter:
    """The pages of engines; without an admin key nobody may drain."""
    router = APIRouter()

    def member(name: str) -> Member:
        if name not in fleet.members:
            names = ", ".join(sorted(fleet.members))
            raise NotFound(f"there is no engine '{name}'; there is: {names}", param="name")
        return fleet.members[name]

    def admit(request: Request) -> None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if admin_key is None or not hmac.compare_digest(shown.encode(), admin_key.encode()):
            raise Unauthorized("show the key of ROUNDHOUSE_ADMIN_KEY, which the operator sets")

    def told(name: str) -> dict[str, Any]:
        engine, load = fleet.members[name].engine, fleet.members[name].engine.load()
        return {
            "id": name,
            "object": "engine",
            "model": engine.model,
            "pool": engine.pool,
            "weight": engine.weight,
            "state": fleet.members[name].standing.name.lower(),
            "requests": fleet.members[name].in_flight,
            "programs": int(fleet.programs[name]),
            "running": load.running,
            "waiting": load.waiting,
            "kv_used_ratio": load.kv_used_ratio,
        }

    @router.get("/v1/engines")
    async def engines(request: Request) -> dict[str, Any]:
        """Every engine, its state and what it has to do."""
        admit(request)
        return {"object": "list", "data": [told(name) for name in fleet.members]}

    @router.post("/v1/engines/{name}/drain")
    async def drain(name: str, request: Request) -> dict[str, Any]:
        """Send nothing new to the engine; what runs there ends."""
        admit(request)
        member(name).is_draining = True
        return told(name)

    @router.post("/v1/engines/{name}/resume")
    async def resume(name: str, request: Request) -> dict[str, Any]:
        """Send requests to the engine again."""
        admit(request)
        member(name).is_draining = False
        return told(name)

    return router
