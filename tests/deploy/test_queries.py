"""Everything we ask Prometheus is answered, by a real one that scrapes a real house under load."""

import math

import pytest

from tests.deploy.conftest import STRANGE
from tests.deploy.queries import METRIC, panels, rules, runbooks
from tests.parts.prometheus import Prometheus

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PANELS = list(panels())


@pytest.mark.parametrize(
    "expr", [target["expr"] for _, target in PANELS], ids=[name for name, _ in PANELS]
)
async def test_a_panel_shows_something(scraped: Prometheus, expr: str) -> None:
    values = await scraped.values(expr.replace("$__rate_interval", "5m"))
    assert any(not math.isnan(value) for value in values)


@pytest.mark.parametrize("query", runbooks())
async def test_a_query_of_a_runbook_is_answered(scraped: Prometheus, query: str) -> None:
    assert await scraped.values(query)


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
async def test_a_recording_rule_records(scraped: Prometheus, rule: dict[str, str]) -> None:
    await scraped.until(rule["record"])


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
async def test_an_alert_asks_for_metrics_that_there_are(
    scraped: Prometheus, rule: dict[str, str]
) -> None:
    known = set(await scraped.get("label/__name__/values"))
    assert set(METRIC.findall(rule["expr"])) <= known


async def test_no_label_says_what_a_client_wrote(scraped: Prometheus) -> None:
    for name in await scraped.get("labels"):
        values = await scraped.get(f"label/{name}/values")
        assert not [value for value in values if STRANGE in value], name
