"""Whether and when to ask again: statuses that pass, and the Retry-After header."""

import math
from email.utils import parsedate_to_datetime

PASSING = frozenset((500, 502, 503, 504))
"""Statuses of a server in trouble, which the same request may not meet again."""


def retry_after_s(header: str | None, now: float) -> float | None:
    """Seconds from `now` (wall clock) until the other side wants to hear from us again.

    RFC 9110, section 10.2.3: a number of seconds or a date. None for anything else.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
