"""The fake executor behind a real AsyncLLM."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.variants import ROOT, Setup

PROGRAM = Path(__file__).with_name("fake_engine.py")


@pytest.mark.real
def test_the_fake_engine_generates_as_many_tokens_as_asked() -> None:
    setup = Setup(ROOT / "models" / "demo", fake=True, step_ms=1.0)
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], env=setup.environment, stdout=subprocess.PIPE, check=True
    )
    # vLLM logs to standard output as well.
    assert json.loads(done.stdout.splitlines()[-1]) == [5, 64]
