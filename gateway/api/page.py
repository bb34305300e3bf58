"""The status page: its files, the operator's way in, and the stream of what it shows."""

import asyncio
import hmac
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from importlib import resources

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from gateway.access import Access, Admin
from gateway.errors import NotFound, Overloaded, Stopping
from gateway.overview import Overview

COOKIE = "roundhouse_status"
LIFE_S = 12 * 3600
STEP_S = 1.0
WATCHERS = 16
LOOPBACK = ("127.0.0.1", "::1")
HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
SAFE = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
KINDS = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "draw.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
# Read with the module: a disk must not be waited for while others' tokens stream.
FILES = {name: (resources.files("gateway") / "status" / name).read_bytes() for name in KINDS}


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may look: the operator; where there are no keys at all, who sits at the machine."""

    access: Access
    admin: Admin
    clock: Callable[[], float]
    """Unix time."""

    def admit(self, request: Request) -> None:
        """Raises Unauthorized."""
        if not self.admin.has_key and self.access.is_open:
            # The name too: else any site could have its own name lead a browser here.
            peer = request.client.host if request.client is not None else ""
            if peer in LOOPBACK and HERE.fullmatch(request.headers.get("host", "")):
                return
        if not self._is_ticket(request.cookies.get(COOKIE, "")):
            self.admin.admit(request.headers.get("authorization"))

    def ticket(self) -> str:
        """What a browser shows instead of the key: it opens this page alone, and not for ever."""
        expires = str(int(self.clock()) + LIFE_S)
        return f"{expires}.{self.admin.sign(f'{COOKIE} {expires}')}"

    def _is_ticket(self, shown: str) -> bool:
        expires, _, signature = shown.partition(".")
        if not self.admin.has_key or not (expires.isascii() and expires.isdecimal()):
            return False
        right = self.admin.sign(f"{COOKIE} {expires}")
        known = hmac.compare_digest(signature.encode(), right.encode())
        return known and int(expires[:12]) > self.clock()


@dataclass(slots=True)
class Watch:
    """Those who watch, bounded."""

    gate: Gate
    overview: Overview
    is_stopping: Callable[[], bool]
    watchers: int = field(default=0)

    def admit(self, request: Request) -> None:
        """Raises Unauthorized, Stopping and Overloaded."""
        self.gate.admit(request)
        if self.is_stopping():
            raise Stopping("the gateway is shutting down", headers={"retry-after": "1"})
        if self.watchers >= WATCHERS:
            raise Overloaded(f"{WATCHERS} watch this page already", retry_after_s=5)

    async def events(self) -> AsyncGenerator[bytes]:
        """The view, about once a second, as server-sent events."""
        self.watchers += 1
        try:
            while not self.is_stopping():
                yield b"data: " + await self.overview.look() + b"\n\n"
                await asyncio.sleep(STEP_S)
        finally:
            self.watchers -= 1


def routes(watch: Watch) -> APIRouter:
    """The pages. The files tell nothing; what they show comes by `events` alone."""
    router = APIRouter(include_in_schema=False)

    def file(name: str) -> Response:
        return Response(FILES[name], media_type=KINDS[name], headers=SAFE)

    @router.get("/status")
    async def page() -> Response:
        """The status page, for operators."""
        return file("page.html")

    @router.get("/status/events")
    async def events(request: Request) -> Response:
        """What the status page shows, as it changes."""
        watch.admit(request)
        headers = {**SAFE, "x-accel-buffering": "no"}
        if COOKIE in request.cookies:
            headers["x-roundhouse-signed-in"] = "1"
        return StreamingResponse(watch.events(), media_type="text/event-stream", headers=headers)

    @router.post("/status/login")
    async def login(request: Request) -> Response:
        """Let the operator in, who shows the key."""
        watch.gate.admin.admit(request.headers.get("authorization"))
        response = Response(status_code=204, headers=SAFE)
        # A script can't read it and no other site can have it sent.
        is_secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        response.set_cookie(
            COOKIE,
            watch.gate.ticket(),
            max_age=LIFE_S,
            path="/status",
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )
        return response

    @router.post("/status/logout")
    async def logout() -> Response:
        """Sign the operator out."""
        response = Response(status_code=204, headers=SAFE)
        response.delete_cookie(COOKIE, path="/status", httponly=True, samesite="strict")
        return response

    @router.get("/status/{name}")
    async def asset(name: str) -> Response:
        """A file of the status page."""
        if name not in FILES:
            raise NotFound(f"there is no /status/{name}", code="unknown_url")
        return file(name)

    return router
