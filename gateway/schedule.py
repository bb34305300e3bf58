"""How many engines of a model the hour calls for. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from gateway.spares_config import DAYS, WindowConfig

ALL = 2**31
"""More engines than anybody has."""


def wanted(windows: Sequence[WindowConfig], zone: tzinfo, at: datetime) -> int:
    """Engines to be awake at this moment; 0 outside all windows."""
    local = at.astimezone(zone)
    counts = [ALL if w.awake is None else w.awake for w in windows if _is_open(w, local)]
    return max(counts, default=0)


def _is_open(window: WindowConfig, local: datetime) -> bool:
    now, today = local.time().replace(tzinfo=None), DAYS[local.weekday()]
    if window.start < window.end:
        return today in window.days and window.start <= now < window.end
    yesterday = DAYS[(local - timedelta(days=1)).weekday()]
    return (today in window.days and now >= window.start) or (
        yesterday in window.days and now < window.end
    )
