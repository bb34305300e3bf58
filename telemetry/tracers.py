"""Which tracer a process has: one that records, if there is somewhere to export to."""

import os
from collections.abc import Mapping

from telemetry.tracing import Tracer, Untraced

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracer(
    service: str,
    endpoint: str | None,
    sample_ratio: float = 1.0,
    env: Mapping[str, str] = os.environ,
) -> Tracer:
    """The tracer of this service. Raises ValueError without OpenTelemetry where it is needed."""
    if endpoint is None and not any(env.get(name) for name in VARIABLES):
        return Untraced()
    try:
        from telemetry.otel import Otel  # optional, and imported only where it is configured
    except ImportError as error:
        raise ValueError("tracing needs OpenTelemetry: pip install 'roundhouse[otel]'") from error
    return Otel(service, endpoint, sample_ratio)
