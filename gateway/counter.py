"""A counter for every request's path."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Counter(Collector):
    """Counts by labels; one event loop counts.

    prometheus_client's own takes two locks for every look at a label and another for every count:
    for what one request counts, as much as it costs to find its session.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labelnames = tuple(labelnames)
        self._children: dict[tuple[str, ...], Count] = {}
        if not labelnames:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> "Count":
        """The count of one set of label values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = Count()
        return child

    def inc(self, amount: float = 1) -> None:
        """Count, without labels."""
        self.labels().inc(amount)

    def describe(self) -> Iterable[Metric]:
        """The family without samples, so that a name can't be registered twice."""
        return [CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)]

    def collect(self) -> Iterable[Metric]:
        """One family with all children."""
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labelnames)
        for values, child in self._children.items():
            family.add_metric(values, child.value)
        return [family]


class Count:
    """The count of one set of label values."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Count."""
        self.value += amount
