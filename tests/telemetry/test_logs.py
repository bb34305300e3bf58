"""The forms of a log, in either process."""

import json
import logging
import time
from typing import Literal

import msgspec
import pytest

from telemetry.logs import HumanFormatter, configure
from telemetry.redact import MARK


def test_a_line_for_people_stays_one_line() -> None:
    record = logging.makeLogRecord({"msg": "request ok", "levelname": "INFO", "name": "g"})
    record.created = time.mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1)) + 0.25
    record.facts = {"session": "a\nERROR", "engine": "", "status": 200, "tools": None}
    line = HumanFormatter().format(record)
    said = 'INFO g: request ok session="a\\nERROR" engine="" status=200'
    assert line == f"2026-01-02 03:04:05,250 {said}"


def test_the_configured_form_is_that_of_the_whole_log(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure("json")
        logging.getLogger("elsewhere").info("api_key=%s", "THESECRET")
        configure("human")
        logging.getLogger("elsewhere").info("plain")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    json, plain = capsys.readouterr().err.splitlines()
    assert msgspec.json.decode(json)["message"] == f"api_key={MARK}"
    assert plain.endswith(" INFO elsewhere: plain")


@pytest.mark.parametrize("form", ["human", "json"])
def test_known_secrets_are_in_no_line(
    form: Literal["human", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure(form, ["swordfish"])
        facts = {"facts": {"result": "a swordfish", "attempts": 1}}
        logging.getLogger("elsewhere").info("the %s", "swordfish", extra=facts)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    said = capsys.readouterr().err
    assert "swordfish" not in said and said.count(MARK) == 2
    assert said.count("\n") == 1


@pytest.mark.parametrize("value", ["1 b=2", "1 b", "x=", '"', "", "1\nb=2", "ü b=2"])
def test_no_value_looks_like_another_fact(value: str) -> None:
    record = logging.makeLogRecord({"msg": "m", "levelname": "INFO", "name": "g", "created": 0})
    record.facts = {"a": value, "c": 3}
    line = HumanFormatter().format(record)
    said = json.dumps(value, ensure_ascii=not value.isprintable())
    assert line.endswith(f" m a={said} c=3")
