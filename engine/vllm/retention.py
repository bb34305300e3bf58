"""What retention has done, as the engine's core says with every batch of outlooks it takes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_EVICTED = "evicted_"


class RetentionCounts(Collector):
    """The core's own counts: they begin at 0 with the core, and are read when scraped."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts: Counter[str] = Counter()
        registry.register(self)

    def take(self, answers: Sequence[Mapping[str, int]]) -> None:
        """Take what the cores of the engine have answered."""
        self._counts = Counter()
        for counts in answers:
            self._counts.update(counts)

    def describe(self) -> Iterable[Metric]:
        """Nothing: there are none until the core has answered once."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All of them, as of the last answer."""
        counts = self._counts
        if not counts:
            return
        evicted = CounterMetricFamily(
            "roundhouse_retention_evicted_blocks",
            "Blocks of sessions' contexts that the KV cache gave up, by how the session stood.",
            labels=["stand"],
        )
        for name, number in counts.items():
            if name.startswith(_EVICTED):
                evicted.add_metric([name.removeprefix(_EVICTED)], number)
        yield evicted
        yield CounterMetricFamily(
            "roundhouse_retention_returned_blocks",
            "Blocks that were given up before their session came back for them.",
            value=counts["returned"],
        )
        yield GaugeMetricFamily(
            "roundhouse_retention_held_blocks",
            "Blocks of the KV cache that sessions lay claim to.",
            value=counts["held"],
        )
        yield GaugeMetricFamily(
            "roundhouse_retention_sessions",
            "Sessions that the engine keeps account of.",
            value=counts["sessions"],
        )
