"""The replay of conversations that counts what a session finds of its last turn."""

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import continuity_harmony
from benchmarks.continuity import CONTINUITY
from benchmarks.continuity_conversations import read
from benchmarks.continuity_replay import Found, echoed
from benchmarks.variants import ROOT
from engine.types import ToolCall

MESSAGE = {"role": "user", "content": "hello"}


def test_recorded_conversations_are_read_plain_or_packed(tmp_path: Path) -> None:
    text = json.dumps([{"traj": [MESSAGE]}])
    plain, packed = tmp_path / "a.json", tmp_path / "a.json.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert read(plain) == read(packed) == [[MESSAGE]]


@pytest.mark.parametrize("text", ["{", "{}", "[]", "[1]", '[{"traj": [{"role": "user"}]}]'])
def test_a_file_that_holds_no_conversations_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"--trajectories .*a\.json"):
        read(file)


def test_a_missing_or_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "b.json.gz"
    broken.write_bytes(b"no gzip")
    for file in (tmp_path / "absent.json", broken):
        with pytest.raises(ValueError, match="--trajectories"):
            read(file)


@pytest.mark.parametrize("count", ["0", "-3", "all"])
def test_at_least_one_conversation_is_asked_for(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = argparse.ArgumentParser()
    CONTINUITY.configure(options)
    with pytest.raises(SystemExit):
        options.parse_args([f"--conversations={count}"])
    assert "at least 1" in capsys.readouterr().err


def test_only_full_blocks_of_the_turn_before_are_counted() -> None:
    found = Found()
    found.add((30, 3), prompt=50, cached=32)
    found.add((30, 3), prompt=50, cached=16)
    found.add((30, 2), prompt=50, cached=16)
    assert (found.turns, found.whole, found.cached, found.short) == (3, 80, 64, 1)
    assert (found.prompt, found.computed) == (150, 18 + 34 + 34)


def test_a_client_writes_arguments_anew_and_drops_spaces() -> None:
    call = ToolCall(choice=0, index=0, id="abc", name="book", arguments='{"a": 1,  "b": [1, 2]}')
    sent = echoed(" I book.\n", [call])
    assert sent["content"] == "I book."
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"a":1,"b":[1,2]}'


def test_gpt_oss_writes_one_call_at_most_and_its_reasoning_before(tmp_path: Path) -> None:
    encoding = continuity_harmony.make_model(tmp_path, 4096)
    tokens = continuity_harmony.answer(encoding, "I look.", "", [("read", '{"path":"a"}')])
    assert encoding.decode(tokens) == (
        "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.read <|constrain|>json<|message|>{"path":"a"}<|call|>'
    )
    said = continuity_harmony.answer(encoding, "Done.", "Four lines.", [])
    assert encoding.decode(said).endswith("<|channel|>final<|message|>Four lines.<|return|>")
    config = json.loads((tmp_path / "generation_config.json").read_text())
    assert {tokens[-1], said[-1]} <= set(config["eos_token_id"])


@pytest.mark.real
def test_with_continuity_every_full_block_of_the_turn_before_is_found_and_without_not() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "continuity"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| demo")]
    assert [row[1:3] for row in rows] == [
        ["template", "on"],
        ["template", "off"],
        ["free", "on"],
        ["free", "off"],
    ]
    for on, off in (rows[:2], rows[2:]):
        assert (on[4], on[5]) == ("100.00%", "0")
        assert int(off[5]) > 0
    assert int(rows[3][7]) > int(rows[1][7]), "what a template writes otherwise is computed again"
