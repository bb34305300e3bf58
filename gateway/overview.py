"""What the status page shows: engines, sessions, tools and troubles, as they are now."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.desk import Desk
from gateway.errors import ToolsDown
from gateway.member import Member
from gateway.sessions import Session
from gateway.timeline import Timeline
from gateway.tool_client import ToolClient

STEP_S = 0.9
"""Younger views are shown again: all who watch cost what one costs."""
TOOLS_STEP_S = 2.0
TOOLS_TIMEOUT_S = 1.5
SESSIONS = 40
REQUESTS = 6
TROUBLES = 30
ROWS = 60

_encode = msgspec.json.Encoder().encode


class Overview:
    """Made when somebody looks, and only then."""

    def __init__(
        self,
        desk: Desk,
        timeline: Timeline,
        tools: ToolClient | None,
        clock: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._timeline = timeline
        self._tools = tools
        self._clock = clock
        self._looking = asyncio.Lock()
        self._seen: tuple[float, bytes] | None = None
        self._seen_tools: tuple[float, dict[str, Any]] | None = None

    async def look(self) -> bytes:
        """The view as JSON."""
        async with self._looking:
            now_s = self._clock()
            if self._seen is None or now_s - self._seen[0] >= STEP_S:
                self._seen = (now_s, _encode(await self._made(now_s)))
            return self._seen[1]

    async def _made(self, now_s: float) -> dict[str, Any]:
        if self._seen_tools is None or now_s - self._seen_tools[0] >= TOOLS_STEP_S:
            self._seen_tools = (now_s, await self._tools_now())
        desk, sessions = self._desk, self._desk.sessions
        return {
            "running": desk.queue.running,
            "waiting": desk.queue.depth,
            "sessions_live": len(sessions),
            "phases": sessions.phases(),
            "engines": [self._engine(name, m) for name, m in desk.fleet.members.items()],
            "sessions": [self._session(session) for session in sessions.latest(SESSIONS)],
            "tools": self._seen_tools[1],
            "troubles": [
                {**entry.told(), "session": entry.identity and entry.identity.session}
                for entry in self._timeline.troubles[:TROUBLES]
            ],
        }

    def _engine(self, name: str, member: Member) -> dict[str, Any]:
        load = member.engine.load()
        return {
            "name": name,
            "model": member.engine.model,
            "pool": member.engine.pool,
            "spare": member.engine.spare,
            "state": member.standing.name.lower(),
            "requests": member.in_flight,
            "programs": int(self._desk.fleet.programs[name]),
            "running": load.running,
            "waiting": load.waiting,
            "kv_used_ratio": load.kv_used_ratio,
        }

    def _session(self, session: Session) -> dict[str, Any]:
        entries = self._timeline.of(session.tenant, session.id, REQUESTS)
        return {
            "key": f"{session.number}",
            "id": session.id,
            "agent": session.agent,
            "group": session.group,
            "parent": session.parent,
            "phase": session.phase.value,
            "engine": session.home,
            "requests": session.requests,
            "idle_s": self._desk.sessions.idle_s(session),
            "entries": [{**entry.told(), "age_s": entry.age_s} for entry in entries],
        }

    async def _tools_now(self) -> dict[str, Any]:
        if self._tools is None:
            return {"state": "none"}
        try:
            table = await self._tools.look("runtimes", TOOLS_TIMEOUT_S)
            runs = await self._tools.look("running", TOOLS_TIMEOUT_S)
        except ToolsDown as down:
            return {"state": "down", "message": str(down)}
        lines, running = table.get("runtimes", []), runs.get("running", [])
        # Whole tools first, then the shapes that are called most, so that none hides another.
        first = sorted(lines, key=lambda line: (line.get("shape") != "*", -line.get("samples", 0)))
        shown = {(line.get("tool"), line.get("shape")) for line in first[:ROWS]}
        rows = [line for line in lines if (line.get("tool"), line.get("shape")) in shown]
        return {"state": "ok", "runtimes": rows, "running": running[:ROWS]}
