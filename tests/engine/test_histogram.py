"""The lean histogram counts as prometheus_client's own does."""

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st

from engine.histogram import Histogram

BUCKETS = (0.005, 0.25, 1, 2.5, 10)
amounts = st.floats(0, 20) | st.sampled_from(BUCKETS)


def page(registry: prometheus_client.CollectorRegistry) -> list[str]:
    lines = prometheus_client.generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(st.lists(amounts, max_size=30))
def test_the_page_is_the_same(observed: list[float]) -> None:
    ours, theirs = (prometheus_client.CollectorRegistry() for _ in range(2))
    lean = Histogram("took_seconds", "Time.", ["engine"], BUCKETS, registry=ours)
    full = prometheus_client.Histogram(
        "took_seconds", "Time.", ["engine"], buckets=BUCKETS, registry=theirs
    )
    lean.labels("a"), full.labels("a")
    for amount in observed:
        lean.labels("a").observe(amount)
        full.labels("a").observe(amount)
    assert page(ours) == page(theirs)


def test_without_labels_it_observes_directly() -> None:
    registry = prometheus_client.CollectorRegistry()
    Histogram("took_seconds", "Time.", buckets=BUCKETS, registry=registry).observe(0.1)
    assert registry.get_sample_value("took_seconds_count") == 1.0
    assert registry.get_sample_value("took_seconds_bucket", {"le": "0.25"}) == 1.0
