"""What admission by program shows to Prometheus."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.working_set import WorkingSet


class ProgramReadings(Collector):
    """How admission by program stands at each engine."""

    def __init__(self, sets: Callable[[], Mapping[str, WorkingSet]]) -> None:
        self._sets = sets

    def describe(self) -> Iterable[Metric]:
        """The families, of engines that come and go."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """One sample for each engine whose cache is known."""
        programs = GaugeMetricFamily(
            "roundhouse_programs",
            "Programs by how they stand with the engine's cache: admitted, waiting.",
            labels=["engine", "stand"],
        )
        demand = GaugeMetricFamily(
            "roundhouse_programs_demand_ratio",
            "Tokens that the admitted programs need, as a share of the cache.",
            labels=["engine"],
        )
        target = GaugeMetricFamily(
            "roundhouse_programs_target_ratio",
            "The share up to which programs are admitted.",
            labels=["engine"],
        )
        aside = CounterMetricFamily(
            "roundhouse_programs_set_aside",
            "Idle programs that made room for another.",
            labels=["engine"],
        )
        for engine, held in self._sets().items():
            programs.add_metric([engine, "admitted"], held.admitted)
            programs.add_metric([engine, "waiting"], held.waiting)
            demand.add_metric([engine], held.ratio)
            target.add_metric([engine], held.target)
            aside.add_metric([engine], held.set_aside)
        return (programs, demand, target, aside)
