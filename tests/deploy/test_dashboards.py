"""The dashboards as Grafana reads them."""

import json
import runpy
from pathlib import Path

import pytest
import yaml

from tests.deploy.queries import GRAFANA, panels

PANELS = sorted((GRAFANA / "panels").glob("*.yml"))


@pytest.mark.parametrize("file", PANELS, ids=lambda file: file.stem)
def test_a_dashboard_is_what_its_panels_make(file: Path) -> None:
    """If not: python deploy/grafana/build.py"""
    build = runpy.run_path(str(GRAFANA / "build.py"))
    made = (GRAFANA / "dashboards" / f"{file.stem}.json").read_text(encoding="utf-8")
    assert made == build["dashboard"](file)


def test_there_is_no_dashboard_without_panels() -> None:
    made = sorted(file.stem for file in (GRAFANA / "dashboards").glob("*.json"))
    assert made == [file.stem for file in PANELS] == ["agents", "engines", "gateway", "tools"]


@pytest.mark.parametrize("file", PANELS, ids=lambda file: file.stem)
def test_the_panels_of_a_dashboard_lie_side_by_side_and_ask_something(file: Path) -> None:
    board = json.loads((GRAFANA / "dashboards" / f"{file.stem}.json").read_text(encoding="utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["title"] for panel in board["panels"]}) == len(places)
    assert all(panel["targets"] for panel in board["panels"])


def test_what_is_provisioned_is_what_the_dashboards_name() -> None:
    (file,) = (GRAFANA / "provisioning" / "datasources").glob("*.yml")
    (source,) = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    assert {target["datasource"]["uid"] for _, target in panels()} == {source["uid"]}
    assert source["url"] == "$PROMETHEUS_URL"
    (file,) = (GRAFANA / "provisioning" / "dashboards").glob("*.yml")
    (provider,) = yaml.safe_load(file.read_text(encoding="utf-8"))["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
