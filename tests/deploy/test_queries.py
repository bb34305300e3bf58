"""Everything we ask Prometheus is answered, by a real one that scrapes a real house under load."""

import asyncio
import json
import math
import os

import pytest

from tests.deploy.conftest import STRANGE
from tests.deploy.queries import METRIC, panels, rules, runbooks, told
from tests.e2e.conftest import TOKEN
from tests.parts.prometheus import Prometheus

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PANELS = list(panels())


@pytest.mark.parametrize(
    "expr", [target["expr"] for _, target in PANELS], ids=[name for name, _ in PANELS]
)
async def test_a_panel_shows_something(scraped: Prometheus, expr: str) -> None:
    values = await scraped.values(expr.replace("$__rate_interval", "5m"))
    assert any(not math.isnan(value) for value in values)


@pytest.mark.parametrize("query", runbooks("promql"))
async def test_a_query_of_a_runbook_is_answered(scraped: Prometheus, query: str) -> None:
    assert await scraped.values(query)


@pytest.mark.parametrize("line", [line for line in runbooks("bash") if "curl" in line])
async def test_a_page_that_a_runbook_looks_at_is_there(scraped: Prometheus, line: str) -> None:
    urls = await scraped.targets()
    for job, default in (("gateway", "8000"), ("tools_service", "8001")):
        line = line.replace(f"http://127.0.0.1:{default}", urls[job])
    environment = os.environ | {"ROUNDHOUSE_TOOLS_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_shell(
        line.replace("curl", "curl --fail", 1), env=environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(said)


@pytest.mark.parametrize("rule", rules("record"), ids=lambda rule: rule["record"])
async def test_a_recording_rule_records(scraped: Prometheus, rule: dict[str, str]) -> None:
    await scraped.until(rule["record"])


@pytest.mark.parametrize("rule", rules("alert"), ids=lambda rule: rule["alert"])
async def test_an_alert_asks_for_metrics_that_there_are(
    scraped: Prometheus, rule: dict[str, str]
) -> None:
    known = set(await scraped.get("label/__name__/values"))
    assert set(METRIC.findall(rule["expr"])) <= known


async def test_the_readme_tells_of_every_metric_of_ours(scraped: Prometheus) -> None:
    families = await scraped.get("metadata")
    ours = {name for name in families if name.startswith("roundhouse_")}
    assert "roundhouse_requests_total" in ours
    assert {name for name in ours if not name.endswith("_created")} <= set(told())


async def test_no_label_says_what_a_client_wrote(scraped: Prometheus) -> None:
    for name in await scraped.get("labels"):
        values = await scraped.get(f"label/{name}/values")
        assert not [value for value in values if STRANGE in value], name
