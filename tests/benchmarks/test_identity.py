"""The benchmark of recognising sessions: its load is what it says, its replay finds mistakes."""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.identity import IDENTITY
from benchmarks.identity_load import SESSION_REQUESTS, Load, after_a_tool, after_a_user, beginning
from benchmarks.identity_replay import Recorded, read, replay


def recorded(case: str, question: str, call_id: str) -> list[Recorded]:
    """A conversation of two requests, as a recorder writes it."""
    asked = [
        {"role": "system", "content": "You are an expert."},
        {"role": "user", "content": question},
    ]
    function = {"name": "search", "arguments": '{"query": "research topic A"}'}
    told = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }
    result = {"role": "tool", "tool_call_id": call_id, "content": "found"}
    return [Recorded(case, asked), Recorded(case, [*asked, told, result])]


def test_every_conversation_of_a_good_recording_is_found() -> None:
    requests = recorded("a", "What is X?", "call_0123456789") + recorded(
        "b", "What is X?", "call_9876543210"
    )
    for seed in (None, 1, 2):
        verdict = replay(requests, seed)
        assert (verdict.conversations, verdict.found) == (2, 2)
        assert (verdict.split, verdict.merged) == (0, 0)
        assert verdict.by == {"new": 2, "tool_call": 2}


def test_a_recording_whose_ids_do_not_lead_back_shows_as_split() -> None:
    requests = recorded("a", "What is X?", "call_0123456789")
    edited = [{"role": "system", "content": "You are edited."}, *requests[1].messages[1:]]
    edited[2] = {"role": "assistant", "content": "something else"}
    edited[3] = {"role": "user", "content": "go on"}
    requests[1] = Recorded("a", edited)
    verdict = replay(requests, None)
    assert (verdict.split, verdict.merged) == (1, 0)


@pytest.mark.parametrize(
    ("make", "by"),
    [(after_a_tool(10), "tool_call"), (after_a_user(10), "prefix"), (beginning(60), "new")],
)
def test_every_kind_of_request_is_recognised_by_what_it_is_named_after(make: Any, by: str) -> None:
    load = Load(5, random.Random(0))
    make(load)()
    assert load.sessions.page("tenant", 1, None)[0].recognised_by == by


def test_a_whole_session_stays_one() -> None:
    load = Load(5, random.Random(0))
    for work in load.session():
        work()
    assert load.sessions.page("tenant", 1, None)[0].requests == SESSION_REQUESTS


def test_the_report_has_costs_and_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests = recorded("a", "What is X?", "call_0123456789")
    lines = [json.dumps({"case": one.case, "messages": one.messages}) for one in requests]
    file, out = tmp_path / "requests.jsonl", tmp_path / "report.md"
    file.write_text("\n".join(lines))
    assert read(file) == requests
    options = argparse.ArgumentParser()
    IDENTITY.configure(options)
    args = ["--live", "5", "--rounds", "3", "--sessions", "1", "--requests", str(file)]
    IDENTITY.run(options.parse_args([*args, "--out", str(out)]))
    report = out.read_text()
    assert "| sessions found | 1 | 1 | 1.00 |" in report
    assert report in capsys.readouterr().out
