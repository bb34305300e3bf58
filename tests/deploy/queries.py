"""All that we ask Prometheus: in panels, rules and runbooks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "operations.md"
METRIC = re.compile(r"\b(?:roundhouse[_:]|vllm:|process_|python_)[a-zA-Z0-9_:]+")


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """The queries of all dashboards, each with a name of dashboard and panel."""
    for file in sorted((GRAFANA / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}: {target['legendFormat']}", target


def rules(kind: str) -> list[dict[str, Any]]:
    """All rules that have this key: `alert` or `record`."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    groups = [
        group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
    ]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def chapter() -> str:
    """The runbooks."""
    return RUNBOOKS.read_text(encoding="utf-8").split("\n## Runbooks\n")[1]


def told() -> Iterator[str]:
    """The metrics of README's tables; `…_y` after `a_b_x` is `a_b_y`, whatever the lengths."""
    rows = re.findall(r"^\| (`roundhouse_[^|]*) \|", (ROOT / "README.md").read_text("utf-8"), re.M)
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        words = first.split("_")
        yield first
        for other in others:
            heads = ["_".join(words[:length]) for length in range(2, len(words))]
            yield from (other.replace("…", head) for head in heads)


def runbooks(language: str) -> list[str]:
    """The lines of this language in all runbooks, each once: `promql` or `bash`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", chapter(), re.S)
    return sorted({line for block in blocks for line in block.splitlines()})
