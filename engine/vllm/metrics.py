"""vLLM's own statistics: as load for the gateway, and as `vllm:*` metrics of a named engine."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client import Histogram as PromHistogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from vllm.config import VllmConfig
from vllm.v1.metrics.loggers import PrometheusStatLogger, StatLoggerBase
from vllm.v1.metrics.stats import IterationStats, SchedulerStats

from engine.histogram import Histogram
from engine.types import EngineLoad


class LoadRecorder(StatLoggerBase):  # type: ignore[misc]  # vLLM is not analysed
    """Keeps the newest load; vLLM calls it on the event loop for every step's output."""

    def __init__(self) -> None:
        self.kv_tokens = 0
        """Set once the engine has started."""
        self.is_asleep = False
        """Set by who sends it to sleep."""
        self._running = 0
        self._waiting = 0
        self._kv_used_ratio = 0.0
        self._preemptions = 0
        self._prompt_tokens = 0
        self._generated_tokens = 0

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: object = None,
        engine_idx: int = 0,
    ) -> None:
        """Take one step's numbers."""
        if scheduler_stats is not None:
            self._running = scheduler_stats.num_running_reqs
            self._waiting = (
                scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            )
            self._kv_used_ratio = scheduler_stats.kv_cache_usage
        if iteration_stats is not None:
            self._preemptions += iteration_stats.num_preempted_reqs
            self._prompt_tokens += iteration_stats.num_prompt_tokens
            self._generated_tokens += iteration_stats.num_generation_tokens

    def log_engine_initialized(self) -> None:
        """Nothing to say at the start."""

    def load(self) -> EngineLoad:
        """The newest numbers."""
        return EngineLoad(
            running=self._running,
            waiting=self._waiting,
            kv_used_ratio=self._kv_used_ratio,
            preemptions=self._preemptions,
            kv_tokens=self.kv_tokens,
            prompt_tokens=self._prompt_tokens,
            generated_tokens=self._generated_tokens,
            is_asleep=self.is_asleep,
        )


class EngineCollector(Collector):
    """`vllm:*` of one engine, its `engine` label set to the engine's name.

    vLLM writes all engines of a process to one registry, every one as engine "0", and a second
    engine deletes the first one's metrics; so each has a registry of its own here.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self.registry = CollectorRegistry()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the families are vLLM's and known only once the engine runs."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All families of this engine."""
        for family in self.registry.collect():
            renamed = Metric(family.name, family.documentation, family.type)
            renamed.samples = [self._named(sample) for sample in family.samples]
            yield renamed

    def _named(self, sample: Sample) -> Sample:
        rank = sample.labels.get("engine", "0")
        name = self._engine if rank in ("0", "") else f"{self._engine}-{rank}"
        return sample._replace(labels={**sample.labels, "engine": name})


def prometheus_logger(registry: CollectorRegistry) -> type[PrometheusStatLogger]:
    """vLLM's Prometheus logger, writing to `registry` instead of the global one.

    As a subclass in `stat_loggers` it replaces the default logger of that engine.
    """
    gauge, counter, histogram, plain_histogram = (
        staticmethod(partial(kind, registry=registry))
        for kind in (Gauge, Counter, Histogram, PromHistogram)
    )
    parts: dict[str, Any] = {
        name: type(
            base.__name__,
            (base,),
            {"_gauge_cls": gauge, "_counter_cls": counter, "_histogram_cls": plain_histogram},
        )
        for name in (
            "_spec_decoding_cls",
            "_perf_metrics_cls",
            "_kv_connector_cls",
            "_ec_connector_cls",
        )
        for base in (getattr(PrometheusStatLogger, name),)
    }
    parts |= {"_gauge_cls": gauge, "_counter_cls": counter, "_histogram_cls": histogram}
    return type("NamedPrometheusStatLogger", (PrometheusStatLogger,), parts)


def stat_loggers(recorder: LoadRecorder, collector: EngineCollector) -> list[Any]:
    """What AsyncLLM takes as `stat_loggers`."""

    def record_load(_config: VllmConfig, _index: int) -> LoadRecorder:
        return recorder

    return [record_load, prometheus_logger(collector.registry)]
