"""From the profile's words to vLLM's arguments."""

import os
from pathlib import Path

import pytest

import models
from engine.config import EngineConfig
from engine.errors import StartFailed
from engine.vllm.launch import SCHEDULER, _devices, engine_args

DEMO = str(Path(models.__file__).parent / "demo")


def config(**settings: object) -> EngineConfig:
    # vLLM looks at the model's folder as soon as it is named.
    return EngineConfig.model_validate({"name": "one", "model": DEMO, **settings})


def test_retention_is_switched_off_beside_whatever_else_vllm_is_told() -> None:
    args = engine_args(config(retention=False, args={"additional_config": {"other": 1}}))
    assert args.additional_config == {"other": 1, "roundhouse_retention": False}
    assert engine_args(config()).additional_config == {}
    with pytest.raises(StartFailed, match="'additional_config' in `args` must be a mapping"):
        engine_args(config(retention=False, args={"additional_config": 1}))


def test_the_profile_reaches_vllm() -> None:
    args = engine_args(
        config(served_name="m", kv_cache_gib=0.5, max_model_len=99, args={"max_num_seqs": 7})
    )
    assert args.model == DEMO
    assert args.served_model_name == ["m"]
    assert args.kv_cache_memory_bytes == 2**29
    assert args.max_model_len == 99
    assert args.max_num_seqs == 7
    assert args.scheduling_policy == "priority"
    assert args.scheduler_cls == SCHEDULER


def test_an_unknown_argument_is_refused_with_the_nearest() -> None:
    with pytest.raises(StartFailed, match="did you mean 'max_num_seqs'"):
        engine_args(config(args={"max_num_sqs": 7}))


def test_an_argument_that_has_its_own_name_is_said_there() -> None:
    with pytest.raises(StartFailed, match="'dtype' beside `args`"):
        engine_args(config(args={"dtype": "float32"}))


def test_each_engine_sees_its_own_devices_and_the_process_all() -> None:
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    with _devices((2, 3)):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
        with _devices(None):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
