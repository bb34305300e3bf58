"""The settings of how calls are executed: what is tried again, shared, refused and written down."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tools_service.settings import PositiveSeconds, Settings

Share = Annotated[float, Field(ge=0, le=1)]


class RetryConfig(Settings):
    """Further attempts of calls that are safe to repeat, after failures that may pass."""

    attempts: Annotated[int, Field(ge=1, le=10)] = Field(
        default=3, description="attempts of one call, the first included; 1: none is repeated"
    )
    share: Share = Field(default=0.1, description="retries as a share of a tool's calls")
    pause_s: PositiveSeconds = Field(
        default=0.25, description="longest pause before the first retry; it doubles with each"
    )
    longest_pause_s: PositiveSeconds = Field(
        default=10.0, description="a wait that is asked for and longer is not waited for"
    )


class HedgeConfig(Settings):
    """Second attempts beside a first one that takes unusually long; the quicker one counts."""

    share: Share = Field(
        default=0.05, description="second attempts as a share of a tool's calls; 0: none"
    )


class BreakerConfig(Settings):
    """When the service behind a tool is left alone because it keeps failing."""

    ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="share of failed attempts that opens it"
    )
    calls: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="fewer attempts than that say nothing"
    )
    window_s: PositiveSeconds = Field(default=30.0, description="how far back it looks")
    open_s: PositiveSeconds = Field(default=15.0, description="time until a call may probe")


class CacheConfig(Settings):
    """Bounds of the results that are kept, for tools with `cache_s`."""

    entries: Annotated[int, Field(ge=1)] = 1024
    bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024


class AuditConfig(Settings):
    """The record of every call: shapes and sizes, no values."""

    path: Path | None = Field(default=None, description="JSON-lines file; none: no audit")
    redis: bool = Field(
        default=False, description="into a stream of the Redis of tools_service.redis instead"
    )
    waiting: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="records that may wait to be written; more are dropped"
    )
    file_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=64 * 1024 * 1024, description="size at which a new file is begun"
    )
    files: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="old files that are kept beside the current one"
    )


class UpstreamLimits(Settings):
    """What is particular about a service behind one or more tools."""

    slots: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="calls of it that may run at once, whatever the tool; none: all"
    )
