"""/v1/sessions and what is below it: what the gateway knows of a key's agents."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from gateway.access import Access
from gateway.errors import BadRequest, NotFound
from gateway.sessions import Session, Sessions
from gateway.shared import SharedSessions
from gateway.timeline import Entry, Timeline

PAGE = 20
MOST = 100


def routes(
    access: Access, sessions: Sessions, timeline: Timeline, shared: SharedSessions | None = None
) -> APIRouter:
    """The sessions API; each key sees its own sessions, and no other's."""
    router = APIRouter()

    def card(session: Session) -> dict[str, Any]:
        return {
            "id": session.id,
            "object": "session",
            "group": session.group,
            "parent": session.parent,
            "agent": session.agent,
            "phase": session.phase.value,
            "engine": session.home,
            "requests": session.requests,
            "turns": session.turns,
            "tokens": session.tokens,
            "running": session.running,
            "idle_s": round(sessions.idle_s(session), 3),
            "recognised_by": session.recognised_by,
        }

    @router.get("/v1/sessions")
    async def all_sessions(
        request: Request, limit: str = str(PAGE), after: str | None = None
    ) -> dict[str, Any]:
        """A page of the live sessions, the newest first; the next begins `after` its last id."""
        tenant = await _tenant(access, request)
        count = _limit(limit)
        before = None
        if after is not None:
            last = sessions.find(tenant, after)
            if last is None:
                raise BadRequest(f"'after' names no live session: {after}", param="after")
            before = last.number
        page = sessions.page(tenant, count + 1, before)
        data = [card(session) for session in page[:count]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": len(page) > count,
        }

    @router.get("/v1/sessions/{session_id:path}/timeline")
    async def session_timeline(request: Request, session_id: str) -> dict[str, Any]:
        """Why each of the session's last requests went as it did, the oldest first."""
        tenant = await _tenant(access, request)
        entries = timeline.of(tenant, session_id)
        told = _told(session_id, sessions.find(tenant, session_id), entries)
        children = [child.id for child in sessions.sub_agents(tenant, session_id)]
        return {**told, "sub_agents": children}

    @router.get("/v1/sessions/{session_id:path}")
    async def one_session(request: Request, session_id: str) -> dict[str, Any]:
        """One session."""
        session = sessions.find(await _tenant(access, request), session_id)
        if session is None:
            raise _unknown(session_id)
        return card(session)

    @router.delete("/v1/sessions/{session_id:path}")
    async def end_session(request: Request, session_id: str) -> dict[str, Any]:
        """End a session: what was kept of it is forgotten, running requests go on to their end."""
        tenant = await _tenant(access, request)
        if not sessions.end(tenant, session_id):
            raise _unknown(session_id)
        await _tell_others(shared, tenant, session_id)
        timeline.forget(tenant, session_id)
        return {"id": session_id, "object": "session.deleted", "deleted": True}

    return router


def _told(session_id: str, session: Session | None, entries: Sequence[Entry]) -> dict[str, Any]:
    """A session and its requests; what has ended is told for as long as it is known."""
    if session is None and not entries:
        raise _unknown(session_id)
    parents = (entry.identity.parent for entry in entries if entry.identity is not None)
    return {
        "id": session_id,
        "object": "session.timeline",
        "phase": session.phase.value if session is not None else "ended",
        "parent": session.parent if session is not None else next(parents, None),
        "data": [entry.told() for entry in entries],
    }


async def _tell_others(shared: SharedSessions | None, tenant: str, session_id: str) -> None:
    if shared is not None:
        await shared.ended(tenant, session_id)


async def _tenant(access: Access, request: Request) -> str:
    return (await access.grant(request.headers.get("authorization"))).tenant


def _unknown(session_id: str) -> NotFound:
    return NotFound(f"there is no session '{session_id}'", param="id", code="session_not_found")


def _limit(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:4]) <= MOST:
        raise BadRequest(f"'limit' must be a whole number from 1 to {MOST}", param="limit")
    return int(text)
