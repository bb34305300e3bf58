"""Who hears how far a call has come: the request it came with, by progress notifications."""

from dataclasses import dataclass
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import ProgressNotification, ProgressNotificationParams

from tools_service.call import Announce, Started
from tools_service.tools.registry import Progress, Tell, untold

STARTED_KEY = "roundhouse/started"

# The SDK's own parameter; we keep nothing in it.
RequestContext = ServerRequestContext[dict[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears that a call has begun, and how far it has come."""

    announce: Announce
    tell: Tell


def listening(ctx: RequestContext) -> Ears:
    """The request itself, if it asked for progress."""
    return Ears(_announcer(ctx), _teller(ctx))


def _announcer(ctx: RequestContext) -> Announce:
    """Tells a caller that asked for progress, at once, that its call has left the queue."""
    token = (ctx.meta or {}).get("progress_token")

    async def announce(started: Started) -> None:
        if token is None:
            return
        note = {
            "expected_s": list(started.expected_s),
            "wait_s": started.wait_s,
            "mean_s": started.mean_s,
            "p95_s": started.p95_s,
        }
        await _notify(
            ctx,
            ProgressNotificationParams(
                progress_token=token, progress=0, message="started", _meta={STARTED_KEY: note}
            ),
        )

    return announce


def _teller(ctx: RequestContext) -> Tell:
    """Passes a tool's own progress on to a caller that asked for it."""
    token = (ctx.meta or {}).get("progress_token")
    if token is None:
        return untold

    async def tell(progress: Progress) -> None:
        await _notify(
            ctx,
            ProgressNotificationParams(
                progress_token=token,
                progress=progress.done,
                total=progress.total,
                message=progress.message,
            ),
        )

    return tell


async def _notify(ctx: RequestContext, params: ProgressNotificationParams) -> None:
    await ctx.session.send_notification(
        ProgressNotification(params=params), related_request_id=ctx.request_id
    )
