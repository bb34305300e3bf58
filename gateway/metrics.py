"""All instruments of the gateway, on one injected registry; scraped, never polled."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.histogram import Histogram
from engine.types import Endpoint
from gateway.counter import Counter

TOKEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
FIRST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
TOTAL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
RATIO_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 10, 100)
MOVES = ("dead", "asleep", "ejected", "draining", "overloaded", "failed", "elsewhere")
WAKES = ("load", "schedule", "too_few", "operator")
SLEEPS = ("quiet", "operator")
OUTCOMES = (
    *("ok", "client_error", "refused", "engine_error", "tools_error"),
    *("disconnected", "stopped", "internal_error"),
)


class Metrics:
    """The gateway's instruments."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.requests = Counter(
            "roundhouse_requests",
            f"Requests that ended, by how: {', '.join(OUTCOMES)}.",
            ["endpoint", "outcome"],
            registry=registry,
        )
        # A series that begins with 1 has never grown, and an alert on its rate sees nothing.
        for endpoint, outcome in product(get_args(Endpoint), OUTCOMES):
            self.requests.labels(endpoint, outcome)
        self.queue_wait = Histogram(
            "roundhouse_queue_wait_seconds",
            "Time from arrival to admission.",
            buckets=FIRST_BUCKETS,
            registry=registry,
        )
        self.first_token = Histogram(
            "roundhouse_time_to_first_token_seconds",
            "Time from arrival to the first piece of the answer.",
            ["engine"],
            buckets=FIRST_BUCKETS,
            registry=registry,
        )
        self.inter_token = Histogram(
            "roundhouse_inter_token_seconds",
            "Time between two pieces of a streamed answer.",
            ["engine"],
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self.request_seconds = Histogram(
            "roundhouse_request_seconds",
            "Time from arrival to the end, tools included.",
            ["endpoint"],
            buckets=TOTAL_BUCKETS,
            registry=registry,
        )
        self.turns = Counter(
            "roundhouse_turns",
            "Generations, several for a request that uses tools.",
            ["engine"],
            registry=registry,
        )
        self.tool_calls = Counter(
            "roundhouse_tool_calls",
            "Server-side tool calls, by how they ended.",
            ["tool", "outcome"],
            registry=registry,
        )
        self.tool_seconds = Histogram(
            "roundhouse_tool_call_seconds",
            "Time of a server-side tool call as the waiting agent sees it.",
            ["tool"],
            buckets=TOTAL_BUCKETS,
            registry=registry,
        )
        self.tool_wait = Histogram(
            "roundhouse_turn_tool_wait_seconds",
            "Time a turn waits for its server-side tool calls when the model has ended.",
            buckets=TOTAL_BUCKETS,
            registry=registry,
        )
        self.tool_expected_seconds = Histogram(
            "roundhouse_tool_call_expected_seconds",
            "Upper end of the expected range of a call, as told when it started.",
            ["tool"],
            buckets=TOTAL_BUCKETS,
            registry=registry,
        )
        self.tool_ratio = Histogram(
            "roundhouse_tool_call_actual_to_expected_ratio",
            "Run time of a call over the middle of its expected range.",
            ["tool"],
            buckets=RATIO_BUCKETS,
            registry=registry,
        )
        self.tokens = Counter(
            "roundhouse_tokens",
            "Tokens of finished requests: prompt, cached (of the prompt), completion.",
            ["engine", "kind"],
            registry=registry,
        )
        self.restored = Counter(
            "roundhouse_tool_results_restored",
            "Server-side tool results put back into a conversation the client returned.",
            registry=registry,
        )
        self.recognised = Counter(
            "roundhouse_sessions_recognised",
            "Requests by what told their session: name, tool_call, response, conversation, "
            "cache_key, prefix, or new.",
            ["by"],
            registry=registry,
        )
        self.sub_agents = Counter(
            "roundhouse_sub_agents_linked",
            "New sessions that were found to be started by another one.",
            registry=registry,
        )
        self.engine_up = Gauge(
            "roundhouse_engine_up", "1 while the engine lives.", ["engine"], registry=registry
        )


class FleetMetrics:
    """Instruments of the engines as a fleet."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ejections = Counter(
            "roundhouse_engine_ejections",
            "How often an engine was taken out of the routing for its failures.",
            ["engine"],
            registry=registry,
        )
        self.failures = Counter(
            "roundhouse_engine_failures",
            "Requests and probes that failed by an engine's fault.",
            ["engine"],
            registry=registry,
        )
        self.refusals = Counter(
            "roundhouse_engine_refusals",
            "Requests that an engine refused for being full.",
            ["engine"],
            registry=registry,
        )
        self.retries = Counter(
            "roundhouse_retries",
            "Requests sent to another engine before their first byte, or not for want of budget.",
            ["outcome"],
            registry=registry,
        )
        self.moves = Counter(
            "roundhouse_session_moves",
            "Sessions that left their home, by its state: dead, asleep, ejected, draining, "
            "overloaded, failed (for this very request), elsewhere (it does not serve what is "
            "asked for).",
            ["reason"],
            registry=registry,
        )
        for outcome in ("sent", "no_budget"):
            self.retries.labels(outcome)
        for reason in MOVES:
            self.moves.labels(reason)

    def know(self, engine: str) -> None:
        """Begins an engine's counters at 0, so that Prometheus sees the first one grow."""
        for counter in (self.ejections, self.failures, self.refusals):
            counter.labels(engine)


class RetentionMetrics:
    """Instruments of what engines are told between turns."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outlooks = Counter(
            "roundhouse_outlooks",
            "What engines were told of sessions: away (in a tool or at the client), coming, aside "
            "(set aside by admission), done.",
            ["engine", "stand"],
            registry=registry,
        )
        self.returns = Counter(
            "roundhouse_client_returns",
            "Sessions whose client came back, after an answer or a call of its own tools, by "
            "whether in the expected range: early, inside, late.",
            ["after", "end"],
            registry=registry,
        )
        for after, end in product(("call", "answer"), ("early", "inside", "late")):
            self.returns.labels(after, end)


class StandbyMetrics:
    """Instruments of engines that sleep and wake."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.wakes = Counter(
            "roundhouse_engine_wakes",
            f"Engines that were woken and have answered a token, by why: {', '.join(WAKES)}.",
            ["engine", "reason"],
            registry=registry,
        )
        self.sleeps = Counter(
            "roundhouse_engine_sleeps",
            f"Engines that were put to sleep, by why: {', '.join(SLEEPS)}.",
            ["engine", "reason"],
            registry=registry,
        )
        self.wake_seconds = Histogram(
            "roundhouse_engine_wake_seconds",
            "Time from the order to wake to the engine's first token.",
            ["engine"],
            buckets=FIRST_BUCKETS,
            registry=registry,
        )

    def know(self, engine: str) -> None:
        """Begins an engine's counters at 0, so that Prometheus sees the first one grow."""
        for reason in WAKES:
            self.wakes.labels(engine, reason)
        for reason in SLEEPS:
            self.sleeps.labels(engine, reason)


class Readings(Collector):
    """Gauges that are read when scraped: {name: (documentation, label, read)}.

    `read` gives {label value: number}; with an empty label name, one number under "".
    """

    def __init__(
        self, gauges: Mapping[str, tuple[str, str, Callable[[], Mapping[str, float]]]]
    ) -> None:
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """The families without samples."""
        return [GaugeMetricFamily(name, text) for name, (text, _, _) in self._gauges.items()]

    def collect(self) -> Iterable[Metric]:
        """Read them all now."""
        for name, (text, label, read) in self._gauges.items():
            family = GaugeMetricFamily(name, text, labels=[label] if label else [])
            for value, number in read().items():
                family.add_metric([value] if label else [], number)
            yield family


class MergedCollector(Collector):
    """Families of several engines under one name: a page may not say a family twice."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the families are the engines' own."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Every family once, with the samples of all."""
        merged: dict[str, Metric] = {}
        for collector in self._collectors:
            for family in collector.collect():
                known = merged.get(family.name)
                if known is None:
                    merged[family.name] = family
                else:
                    known.samples.extend(family.samples)
        return list(merged.values())
