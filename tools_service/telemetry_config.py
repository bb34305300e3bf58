"""The settings of traces and of the log."""

from typing import Annotated, Literal

from pydantic import Field

from tools_service.settings import Settings


class TracingConfig(Settings):
    """Where spans of OpenTelemetry go; off until there is an endpoint."""

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s@]+$",
        description="an OTLP/HTTP collector, such as http://localhost:4318; none: what "
        "OTEL_EXPORTER_OTLP_ENDPOINT says, or nothing is recorded",
    )
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="the share of traces that is recorded, of those whose caller has not decided",
    )


class LogConfig(Settings):
    """What the log looks like."""

    format: Literal["human", "json"] = "human"
    bodies: bool = Field(
        default=False,
        description="write down arguments and results, the beginning of them and without what "
        "looks secret",
    )
