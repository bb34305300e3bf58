"""GET /v1/engines, and draining one of them: for operators."""

from typing import Any

from fastapi import APIRouter, Request

from gateway.access import Admin
from gateway.errors import NotFound
from gateway.fleet import Fleet, Member


def routes(fleet: Fleet, admin: Admin) -> APIRouter:
    """The pages of engines; without an admin key nobody may drain."""
    router = APIRouter()

    def member(name: str) -> Member:
        if name not in fleet.members:
            names = ", ".join(sorted(fleet.members))
            raise NotFound(f"there is no engine '{name}'; there is: {names}", param="name")
        return fleet.members[name]

    def admit(request: Request) -> None:
        admin.admit(request.headers.get("authorization"))

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
