"""Makes Grafana's dashboards of `panels/*.yml`: `python deploy/grafana/build.py`.

A dashboard's JSON says everything ten times; the panels say it once. Both are in the repository,
because Grafana reads the JSON, and a test compares them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, ROW = 8, 8, 24


def queries(panel: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The panel's own queries, after those of its quantiles."""
    if wanted := panel.get("quantiles"):
        by = wanted.get("by")
        labels, legend = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
        for share in wanted["at"]:
            rate = f"sum by ({labels}) (rate({wanted['of']}_bucket[$__rate_interval]))"
            yield {
                "expr": f"histogram_quantile({share}, {rate})",
                "legend": f"{legend}p{round(100 * share)}",
            }
    yield from panel.get("queries", [])


def target(number: int, query: dict[str, str], instant: bool) -> dict[str, Any]:
    """One query as Grafana wants it."""
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": query["expr"],
        "legendFormat": query["legend"],
        "range": not instant,
        "instant": instant,
    }


def defaults(panel: dict[str, Any]) -> dict[str, Any]:
    """How the panel's numbers are drawn."""
    lines = {"drawStyle": "line", "fillOpacity": 10, "showPoints": "never", "spanNulls": True}
    lines["stacking"] = {"group": "A", "mode": "normal" if panel.get("stacked") else "none"}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if "limit" in panel:
        lines["thresholdsStyle"] = {"mode": "line"}
        steps.append({"color": "red", "value": panel["limit"]})
    words = {str(value): {"text": word} for value, word in panel.get("words", {}).items()}
    return {
        "unit": panel.get("unit", "short"),
        "min": 0,
        "custom": lines,
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": words}] if words else [],
    }


def drawn(number: int, panel: dict[str, Any]) -> dict[str, Any]:
    """One panel as Grafana wants it, three in a row."""
    instant = panel.get("kind") == "stat"
    asked = list(queries(panel))
    return {
        "id": number + 1,
        "type": "stat" if instant else "timeseries",
        "title": panel["title"],
        "description": panel.get("about", ""),
        "datasource": SOURCE,
        "gridPos": {
            "x": number * WIDTH % ROW,
            "y": number * WIDTH // ROW * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": defaults(panel), "overrides": []},
        "targets": [target(place, query, instant) for place, query in enumerate(asked)],
    }


def dashboard(file: Path) -> str:
    """The JSON of one dashboard."""
    source = yaml.safe_load(file.read_text(encoding="utf-8"))
    board = {
        "uid": f"roundhouse-{file.stem}",
        "title": source["title"],
        "tags": ["roundhouse"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["roundhouse"], "title": "Roundhouse"}],
        "panels": [drawn(number, panel) for number, panel in enumerate(source["panels"])],
    }
    return json.dumps(board, indent=1) + "\n"


def main() -> None:
    """Write them all."""
    for file in sorted((HERE / "panels").glob("*.yml")):
        made = HERE / "dashboards" / f"{file.stem}.json"
        made.write_text(dashboard(file), encoding="utf-8")


if __name__ == "__main__":
    main()
