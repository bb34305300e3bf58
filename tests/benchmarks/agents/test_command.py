"""The command, as a user runs it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.agents.runs import Job, Row
from benchmarks.agents.sweep import RunFailed, sweep
from benchmarks.agents.workload import Workload


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "agents", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_plays_reports_and_goes_on_where_it_was(tmp_path: Path) -> None:
    stem = tmp_path / "agents"
    options = ["--policies", "vanilla;gate, events", "--caps", "cap 0.1", "--seeds", "1"]
    options += ["--sessions", "9", "--loads", "0.2", "--jobs", "1", "--out", str(stem)]
    found = run(*options)
    assert found.returncode == 0, found.stderr
    lines = (tmp_path / "agents.jsonl").read_text().splitlines()
    assert len(lines) == 4  # the workload, and a line for each run
    assert "| best cap |" in (tmp_path / "agents.md").read_text()
    assert (tmp_path / "agents.png").exists()
    assert run(*options).returncode == 0
    assert (tmp_path / "agents.jsonl").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policies", "magic"], "'magic' is no policy"),
        (["--loads", "0"], "loads are numbers above 0"),
        (["--seeds", "no"], "must be a whole number above 0"),
        (["--tool-s", "-1"], "seconds are 0 or more"),
        (["--hidden", "1.5"], "a share is from 0 to 1"),
        (["--trace", "/nowhere.csv"], "/nowhere.csv"),
    ],
)
def test_a_bad_option_is_named_with_its_remedy(
    tmp_path: Path, options: list[str], says: str
) -> None:
    found = run(*options, "--out", str(tmp_path / "agents"))
    assert found.returncode != 0
    assert says in found.stderr
    assert not list(tmp_path.iterdir())


def heard(rows: list[Row]) -> None:
    raise AssertionError("a run that fails has no rows")


def test_a_run_that_fails_is_named() -> None:
    job = Job(Workload(sessions=2), "nobody's policy", (0.2,), 1)
    with pytest.raises(RunFailed, match=r"nobody's policy.*seed 1"):
        asyncio.run(sweep([job], 1, heard))
