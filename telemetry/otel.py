"""Spans recorded by OpenTelemetry and exported over OTLP: the one place that imports its SDK."""

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import (
    SpanKind,
    Status,
    StatusCode,
    format_trace_id,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry.tracing import Attributes, Kind

_W3C = TraceContextTextMapPropagator()
_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}
_PATH = "/v1/traces"
_QUEUE = 2048
_BATCH = 512
_EVERY_S = 1.0
_EXPORT_S = 3.0
_CLOSE_S = 2.0
"""What is left after this time at the end of the process is lost."""


class RecordedSpan:
    """A span of OpenTelemetry's."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: ApiTracer, span: ApiSpan) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def is_recorded(self) -> bool:
        return self._span.is_recording()

    @property
    def carrier(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self._context)
        return carrier

    def child(self, name: str, kind: Kind = "internal", ago_s: float = 0.0) -> "RecordedSpan":
        began = time.time_ns() - int(ago_s * 1e9)
        span = self._tracer.start_span(name, self._context, _KINDS[kind], start_time=began)
        return RecordedSpan(self._tracer, span)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def active(self) -> AbstractContextManager[object]:
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    @property
    def _context(self) -> Context:
        return set_span_in_context(self._span, Context())


class Otel:
    """Spans wait in a bounded queue, from which a thread exports them; more are dropped.

    The provider is ours alone, never OpenTelemetry's global one: what libraries would record of
    themselves stays out of the trace.
    """

    def __init__(self, service: str, endpoint: str | None, sample_ratio: float) -> None:
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio),
            resource=OTELResourceDetector().detect().merge(Resource({"service.name": service})),
            shutdown_on_exit=False,
        )
        self._tracer = self._provider.get_tracer("roundhouse")
        self._exporter = OTLPSpanExporter(_address(endpoint), timeout=_EXPORT_S)

    def begin(self, name: str, headers: Mapping[str, str]) -> RecordedSpan:
        parent = _W3C.extract(headers, Context())
        return RecordedSpan(self._tracer, self._tracer.start_span(name, parent, SpanKind.SERVER))

    def open(self) -> None:
        # Not before: a thread does not live on in a process that is forked for an engine.
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=_QUEUE,
                max_export_batch_size=_BATCH,
                schedule_delay_millis=_EVERY_S * 1000,
            )
        )

    async def close(self) -> None:
        # The processor would try for as long as it takes; without its exporter it gives up.
        limit = threading.Timer(_CLOSE_S, self._exporter.shutdown)
        limit.start()
        try:
            await asyncio.to_thread(self._provider.shutdown)
        finally:
            limit.cancel()


def _address(endpoint: str | None) -> str | None:
    """Where spans go; None: where OpenTelemetry's own variables say."""
    if endpoint is None or endpoint.endswith(_PATH):
        return endpoint
    return endpoint.rstrip("/") + _PATH
