"""The rules for Prometheus: they can be loaded, fire when they should and not otherwise."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import OUTCOMES
from tests.deploy.queries import PROMETHEUS, chapter, panels, rules

TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="promtool is missing: run scripts/services",
)


ALERTS = rules("alert")


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def cases() -> Iterator[tuple[str, bool]]:
    """The name of the alert of each case, and whether it fires there."""
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                yield case["alertname"], bool(case["exp_alerts"])


@needs_promtool
def test_the_configuration_and_its_rules_are_valid() -> None:
    promtool("check", "config", "--lint-fatal", str(PROMETHEUS / "prometheus.yml"))


@needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    promtool("test", "rules", str(file))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_every_alert_is_tested_when_it_fires_and_when_it_must_not(alert: str) -> None:
    assert {fires for name, fires in cases() if name == alert} == {True, False}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_in_plain_words_and_where_the_remedy_is(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    summary = re.sub(r"{{.*?}}", "", rule["annotations"]["summary"])
    assert summary.endswith(".")
    assert not re.search(r"[a-z]_[a-z]|vllm:|roundhouse", summary), "a metric's name is no word"
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert (page, anchor) == ("docs/operations.md", rule["alert"].lower())


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_runbook_is_there_and_says_what_to_look_at_and_what_to_do(
    rule: dict[str, Any],
) -> None:
    (text,) = re.findall(rf"\n### {rule['alert']}\n(.*?)(?=\n##|\Z)", chapter(), re.S)
    severity = rule["labels"]["severity"]
    assert text.startswith(f"\n**{severity}.**")
    assert "```" in text
    assert "\nDo" in text or "](#" in text


def test_the_outcomes_that_rules_and_panels_count_are_those_there_are() -> None:
    exprs = [rule["expr"] for rule in rules("expr")] + [target["expr"] for _, target in panels()]
    named = re.findall(r'requests_total{outcome[=!]~?"([^"]*)"', " ".join(exprs))
    assert {outcome for names in named for outcome in names.split("|")} <= set(OUTCOMES)
    assert named


def test_there_is_no_runbook_without_its_alert() -> None:
    headings = re.findall(r"^### (\w+)$", chapter(), re.M)
    assert sorted(headings) == sorted(rule["alert"] for rule in ALERTS)
    links = set(re.findall(r"\]\(#(\w+)\)", chapter()))
    assert links <= {rule["alert"].lower() for rule in ALERTS}
