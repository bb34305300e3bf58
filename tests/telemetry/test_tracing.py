"""Whose trace a request belongs to, and whether traces are recorded at all."""

import sys

import pytest

from telemetry.tracers import tracer
from telemetry.tracing import continued

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_endpoint_without_the_library_stops_the_start_and_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "telemetry.otel", None)  # as if it could not be imported
    with pytest.raises(ValueError, match=r"roundhouse\[otel\]"):
        tracer("gateway", "http://127.0.0.1:9")


def test_the_variable_that_everybody_knows_turns_tracing_on() -> None:
    off = tracer("gateway", None, env={"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
    on = tracer("gateway", None, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert (type(off).__name__, type(on).__name__) == ("Untraced", "Otel")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"{CALLER}-more",
        CALLER.upper(),
        "ff" + CALLER[2:],
        "00-" + "0" * 32 + CALLER[35:],
        CALLER[:36] + "0" * 16 + CALLER[52:],
    ],
)
def test_a_traceparent_that_breaks_the_rules_begins_a_new_trace(header: str) -> None:
    assert continued({"traceparent": header}) is None


def test_a_later_version_of_traceparent_may_say_more() -> None:
    assert continued({"traceparent": f"cc{CALLER[2:]}-more"}) == CALLER.split("-")[1]
