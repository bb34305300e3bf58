"""GET /v1/engines, and draining one of them or sending it to sleep: for operators."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request

from engine.errors import EngineError
from gateway.access import Admin
from gateway.errors import EngineGone, NotFound, from_engine
from gateway.fleet import Fleet
from gateway.member import Member
from gateway.standby import SWITCH_S, Standby


class Panel:
    """Who may look, at which engine, and what it is told."""

    def __init__(self, fleet: Fleet, admin: Admin) -> None:
        self._fleet = fleet
        self._admin = admin

    def admit(self, request: Request) -> None:
        """Let the operator in. Raises Unauthorized."""
        self._admin.admit(request.headers.get("authorization"))

    def member(self, name: str, request: Request) -> Member:
        """The engine an operator names. Raises Unauthorized and NotFound."""
        self.admit(request)
        if name not in self._fleet.members:
            names = ", ".join(sorted(self._fleet.members))
            raise NotFound(f"there is no engine '{name}'; there is: {names}", param="name")
        return self._fleet.members[name]

    def told(self, member: Member) -> dict[str, Any]:
        """An engine, its state and what it has to do."""
        engine, load = member.engine, member.engine.load()
        return {
            "id": engine.name,
            "object": "engine",
            "model": engine.model,
            "pool": engine.pool,
            "spare": engine.spare,
            "weight": engine.weight,
            "state": member.standing.name.lower(),
            "requests": member.in_flight,
            "programs": int(self._fleet.programs[engine.name]),
            "running": load.running,
            "waiting": load.waiting,
            "kv_used_ratio": load.kv_used_ratio,
        }

    async def switch(
        self, order: Callable[[Member, str], Awaitable[None]], member: Member
    ) -> dict[str, Any]:
        """Send it to sleep, or wake it. Raises GatewayError."""
        try:
            await order(member, "operator")
        except EngineError as error:
            raise from_engine(error) from error
        except TimeoutError as error:
            said = f"engine '{member.engine.name}' has not answered within {SWITCH_S:g} s"
            raise EngineGone(said) from error
        return self.told(member)


def routes(fleet: Fleet, standby: Standby, admin: Admin) -> APIRouter:
    """The pages of engines; without an admin key nobody may give orders."""
    router, panel = APIRouter(), Panel(fleet, admin)

    @router.get("/v1/engines")
    async def engines(request: Request) -> dict[str, Any]:
        """Every engine, its state and what it has to do."""
        panel.admit(request)
        data = [panel.told(member) for member in fleet.members.values()]
        return {"object": "list", "data": data}

    @router.post("/v1/engines/{name}/drain")
    async def drain(name: str, request: Request) -> dict[str, Any]:
        """Send nothing new to the engine; what runs there ends."""
        member = panel.member(name, request)
        member.is_draining = True
        return panel.told(member)

    @router.post("/v1/engines/{name}/resume")
    async def resume(name: str, request: Request) -> dict[str, Any]:
        """Send requests to the engine again."""
        member = panel.member(name, request)
        member.is_draining = False
        return panel.told(member)

    @router.post("/v1/engines/{name}/sleep")
    async def sleep(name: str, request: Request) -> dict[str, Any]:
        """Let what runs there end, and have the engine give up its device's memory."""
        return await panel.switch(standby.sleep, panel.member(name, request))

    @router.post("/v1/engines/{name}/wake")
    async def wake(name: str, request: Request) -> dict[str, Any]:
        """Have the engine take its memory again; the answer comes after its first token."""
        return await panel.switch(standby.wake, panel.member(name, request))

    return router
