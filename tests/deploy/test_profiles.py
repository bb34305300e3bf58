"""The profiles of deploy/profiles: every argument is vLLM's, and every value explained."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from vllm.engine.arg_utils import AsyncEngineArgs

from engine.vllm.launch import engine_args
from roundhouse.config import DEMO, Flags, load
from tests.deploy.composed import DEPLOY

PROFILES = sorted((DEPLOY / "profiles").glob("*.yaml"))
NAMES = {
    "interactive",
    "throughput",
    "memory-bound",
    "tensor-parallel",
    "two-gpus",
    "agents",
    "cpu",
}


def test_there_is_a_profile_for_every_need() -> None:
    assert {file.stem for file in PROFILES} == NAMES


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_a_profile_is_taken_as_a_file_and_over_a_file(file: Path) -> None:
    alone = load(file, None, Flags())
    assert alone == load(None, str(file), Flags())
    house = load(DEPLOY / "house.yaml", str(file), Flags())
    assert house.engines == alone.engines
    assert house.gateway.tools.url == "http://tools:8001/mcp"


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_every_engine_argument_is_one_of_vllm_and_of_its_type(file: Path) -> None:
    kinds: dict[str, Any] = {field.name: field.type for field in fields(AsyncEngineArgs)}
    for engine in load(file, None, Flags()).engines:
        # With a model that is here: vLLM looks the others up as soon as it hears of them.
        args = engine_args(engine.model_copy(update={"model": DEMO}))
        for name, value in engine.args.items():
            if name != "structured_outputs_config":  # becomes an object
                assert getattr(args, name) == value
                TypeAdapter(kinds[name]).validate_python(value, strict=True)


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_engines_of_a_profile_share_no_gpu(file: Path) -> None:
    engines = load(file, None, Flags()).engines
    devices = [index for engine in engines for index in engine.devices or ()]
    assert len(devices) == len(set(devices))
    for engine in engines:
        assert engine.args.get("tensor_parallel_size", 1) == len(engine.devices or (0,))


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_every_value_of_a_profile_is_explained(file: Path) -> None:
    """Each line of arguments has words above or behind it, once in the file."""
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    said = yaml.safe_load(file.read_text(encoding="utf-8"))
    for engine in said["engines"][:1]:
        for name in engine.get("args", {}):
            at = next(n for n, line in enumerate(lines) if line.strip().startswith(f"{name}:"))
            assert "#" in lines[at] or lines[at - 1].strip().startswith("#"), name
