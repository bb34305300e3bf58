"""The lean counter counts as prometheus_client's own does."""

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.counter import Counter


def page(registry: prometheus_client.CollectorRegistry) -> list[str]:
    lines = prometheus_client.generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(st.lists(st.tuples(st.sampled_from(("a", "b")), st.integers(0, 1000)), max_size=30))
def test_the_page_is_the_same(counted: list[tuple[str, int]]) -> None:
    ours, theirs = (prometheus_client.CollectorRegistry() for _ in range(2))
    lean = Counter("turns", "Turns.", ["engine"], registry=ours)
    full = prometheus_client.Counter("turns", "Turns.", ["engine"], registry=theirs)
    for engine, amount in counted:
        lean.labels(engine).inc(amount)
        full.labels(engine).inc(amount)
    assert page(ours) == page(theirs)


def test_without_labels_it_begins_at_0() -> None:
    ours, theirs = (prometheus_client.CollectorRegistry() for _ in range(2))
    lean = Counter("turns", "Turns.", registry=ours)
    full = prometheus_client.Counter("turns", "Turns.", registry=theirs)
    assert page(ours) == page(theirs)
    lean.inc()
    full.inc()
    assert page(ours) == page(theirs)


def test_a_name_is_registered_once() -> None:
    registry = prometheus_client.CollectorRegistry()
    Counter("turns", "Turns.", registry=registry)
    with pytest.raises(ValueError, match="turns"):
        Counter("turns", "Turns.", registry=registry)
