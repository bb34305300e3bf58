"""All instruments of the tools service, on the registry they are given."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
_RATIOS = (0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)


class Metrics:
    """Label values name registered tools (or `unknown`) and upstreams, never a user's text."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "roundhouse_tools_service_calls",
            "Tool calls by outcome: ok, asked, error, timeout, cancelled, refused.",
            ["tool", "outcome"],
            registry=registry,
        )
        self.run = Histogram(
            "roundhouse_tools_service_run_seconds",
            "Service time of tool calls, without the wait for a slot.",
            ["tool"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.wait = Histogram(
            "roundhouse_tools_service_wait_seconds",
            "Wait of tool calls for a slot.",
            ["tool"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.ratio = Histogram(
            "roundhouse_tools_service_runtime_ratio",
            "Service time of successful calls as a multiple of the expected mean.",
            ["tool"],
            buckets=_RATIOS,
            registry=registry,
        )
        self.inside = Counter(
            "roundhouse_tools_service_inside_range",
            "Successful calls by whether they ended inside the expected range.",
            ["tool", "inside"],
            registry=registry,
        )
        self.inside_share = Gauge(
            "roundhouse_tools_service_inside_share",
            "Share of a tool's successful calls that ended inside the expected range.",
            ["tool"],
            registry=registry,
        )
        self.shared = Gauge(
            "roundhouse_tools_service_shared",
            "1 while the runtime table is shared through Redis.",
            registry=registry,
        )
        self.lessons = Counter(
            "roundhouse_tools_service_shared_lessons",
            "Measured run times: told to Redis, heard from other replicas, lost before told.",
            ["way"],
            registry=registry,
        )
        self._pending = Gauge(
            "roundhouse_tools_service_shared_pending",
            "Measured run times that Redis has not been told yet.",
            registry=registry,
        )
        self.running = Gauge(
            "roundhouse_tools_service_running",
            "Tool calls that hold a slot.",
            ["tool"],
            registry=registry,
        )
        self.tasks = Gauge(
            "roundhouse_tools_service_tasks",
            "Calls that run on as tasks and have not ended.",
            registry=registry,
        )
        self.retries = Counter(
            "roundhouse_tools_service_retries",
            "Further attempts after a failure that may pass.",
            ["tool"],
            registry=registry,
        )
        self.hedges = Counter(
            "roundhouse_tools_service_hedges",
            "Second attempts beside a slow first one, by whether they gave the answer: won, lost.",
            ["tool", "end"],
            registry=registry,
        )
        self.followers = Counter(
            "roundhouse_tools_service_followers",
            "Calls that were answered by the run of an identical one.",
            ["tool"],
            registry=registry,
        )
        self.cache_hits = Counter(
            "roundhouse_tools_service_cache_hits",
            "Calls that were answered by a kept result.",
            ["tool"],
            registry=registry,
        )
        self.audit_dropped = Counter(
            "roundhouse_tools_service_audit_dropped",
            "Audit records that were not written.",
            registry=registry,
        )
        self._breakers = Gauge(
            "roundhouse_tools_service_breaker_state",
            "Circuit breaker of an upstream: 0 closed, 1 open, 2 half-open.",
            ["upstream"],
            registry=registry,
        )
        self._waiting = Gauge(
            "roundhouse_tools_service_waiting",
            "Tool calls that wait for a slot.",
            registry=registry,
        )
        self._shapes = Gauge(
            "roundhouse_tools_service_table_shapes", "Rows of the runtime table.", registry=registry
        )

    def know(self, tool: str) -> None:
        """Begins a tool's counters at 0: one that begins with 1 has never grown for Prometheus."""
        for counter in (self.retries, self.followers, self.cache_hits):
            counter.labels(tool)
        for end in ("won", "lost"):
            self.hedges.labels(tool, end)
        for inside in ("yes", "no"):
            self.inside.labels(tool, inside)

    def watch(self, *, waiting: Callable[[], float], shapes: Callable[[], float]) -> None:
        """Reads these two whenever somebody scrapes."""
        self._waiting.set_function(waiting)
        self._shapes.set_function(shapes)

    def watch_breaker(self, upstream: str, state: Callable[[], float]) -> None:
        """Reads the state of this upstream's breaker whenever somebody scrapes."""
        self._breakers.labels(upstream).set_function(state)

    def watch_shared(self, *, pending: Callable[[], float]) -> None:
        """Reads this one whenever somebody scrapes."""
        self._pending.set_function(pending)


class UpstreamMetrics:
    """Label values are names of upstreams in the settings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "roundhouse_tools_service_upstream_up",
            "1 while the upstream is connected.",
            ["upstream"],
            registry=registry,
        )
        self.reconnects = Counter(
            "roundhouse_tools_service_upstream_reconnects",
            "Attempts to reach an upstream again.",
            ["upstream"],
            registry=registry,
        )
        self.changes = Counter(
            "roundhouse_tools_service_upstream_changes",
            "Tools withdrawn because the upstream offers them otherwise than accepted.",
            ["upstream"],
            registry=registry,
        )
