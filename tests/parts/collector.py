"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP and shows what came."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {1: "internal", 2: "server", 3: "client"}
FAILED = 2


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: Mapping[str, object]


@dataclass
class Collector:
    """What has come; with a `gate` that is not set, answers wait for it."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def one(self, name: str) -> Seen:
        """The only span of that name."""
        (span,) = [span for span in self.spans if span.name == name]
        return span

    def children(self, of: Seen) -> list[str]:
        """The names of the spans within it, in the order in which they began."""
        within = [span for span in self.spans if span.parent == of.id]
        return [span.name for span in sorted(within, key=lambda span: span.start_ns)]

    async def take(self, request: web.Request) -> web.Response:
        """An export."""
        assert request.content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        for resource in message.resource_spans:
            about = _values(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += (_seen(str(about["service.name"]), span) for span in scope.spans)
        return web.Response(content_type="application/x-protobuf")


@asynccontextmanager
async def collecting(gate: asyncio.Event | None = None) -> AsyncGenerator[Collector]:
    """A collector on a real socket."""
    collector = Collector(gate=gate)
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        collector.url = f"http://{host}:{port}"
        yield collector
    finally:
        await runner.cleanup()


def _seen(service: str, raw: Span) -> Seen:
    return Seen(
        service,
        raw.name,
        KINDS[raw.kind],
        raw.trace_id.hex(),
        raw.span_id.hex(),
        raw.parent_span_id.hex(),
        raw.start_time_unix_nano,
        raw.end_time_unix_nano,
        raw.status.code == FAILED,
        _values(raw.attributes),
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, object]:
    return {
        pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in attributes
    }
