"""The doctor on memory: what is wrong is said in numbers, with the number to write instead."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from roundhouse.capacity import GIB
from roundhouse.checks import Finding, State
from roundhouse.config import DEMO, Flags, load
from roundhouse.errors import ConfigFault
from roundhouse.memory_checks import UTILIZATION, Gpus, check_context, check_sharing
from roundhouse.model_config import find_folder, kv_bytes_of, read_shape
from tests.deploy.composed import DEPLOY
from tests.roundhouse.processes import Start

CONFIG = {
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "vocab_size": 151_936,
    "max_position_embeddings": 40_960,
    "torch_dtype": "bfloat16",
}
WEIGHTS = 16_381_470_720
ONE = Gpus(80 * GIB, 1)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Looks like Qwen3-8B: its config, and a file of the size of its weights without content."""
    return make(tmp_path / "model", CONFIG)


def make(folder: Path, config: dict[str, Any], weights: int = WEIGHTS) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with open(folder / "model.safetensors", "wb") as file:
        file.truncate(weights)
    return folder


def found(
    model: Path | str, gpus: Gpus = ONE, session_tokens: int | None = None, **said: Any
) -> list[Finding]:
    engine = EngineConfig.model_validate({"name": "big", "model": str(model), **said})
    return list(check_context(engine, gpus, Path("/nowhere"), session_tokens))


def test_what_fits_is_told_in_figures(model: Path) -> None:
    (finding,) = found(model, max_model_len=32_768)
    assert finding.state is State.OK
    assert "144 KiB of KV cache a token" in finding.detail
    assert "12 sequences of 32768" in finding.detail
    assert "about" in finding.detail  # it is an estimate, and says so


@pytest.mark.parametrize(
    ("said", "gpus", "detail", "remedy"),
    [
        ({}, Gpus(12 * GIB, 1), "weights 15.3 GiB", "tensor_parallel_size: 2 or more"),
        ({}, Gpus(24 * GIB, 1), "one sequence of 40960 tokens needs 5.62", "max_model_len: "),
        (
            {"args": {"tensor_parallel_size": 5}},
            Gpus(80 * GIB, 8),
            "5 does not divide 32 attention heads",
            "tensor_parallel_size: 4",
        ),
        (
            {"args": {"tensor_parallel_size": 4}},
            Gpus(80 * GIB, 2),
            "tensor_parallel_size 4, and there are 2 GPUs",
            "tensor_parallel_size: 2",
        ),
        ({"max_model_len": 65_536}, ONE, "made for 40960", "max_model_len: 40960"),
        ({"kv_cache_gib": 70}, ONE, "kv_cache_gib 70 and the rest are", "kv_cache_gib: 6"),
    ],
)
def test_what_can_not_be_is_a_fault_with_the_right_number(
    model: Path, said: dict[str, Any], gpus: Gpus, detail: str, remedy: str
) -> None:
    faults = [one for one in found(model, gpus, **said) if one.state is State.FAULT]
    assert [one for one in faults if detail in one.detail and one.remedy.startswith(remedy)], faults


@pytest.mark.parametrize(
    ("said", "session_tokens", "detail", "remedy"),
    [
        ({"args": {"gpu_memory_utilization": 0.98}}, None, "leaves 1.6 GiB", "0.92"),
        ({}, 4000, "max_model_len 40960 is 10 times what sessions use", "max_model_len: 8000"),
        ({"max_model_len": 2048}, 4000, "longer than max_model_len", "max_model_len: 4000"),
        ({"args": {"max_num_seqs": 128}}, None, "10 sequences of full length fit", "10"),
        ({"args": {"tensor_parallel_size": 16}}, None, "each is kept 2 times", "8"),
    ],
)
def test_what_is_wasteful_is_a_warning(
    model: Path, said: dict[str, Any], session_tokens: int | None, detail: str, remedy: str
) -> None:
    findings = found(model, Gpus(80 * GIB, 16), session_tokens, **said)
    warned = [one for one in findings if one.state is State.WARN and detail in one.detail]
    assert warned and remedy in warned[0].remedy, findings
    assert findings[-1].state is State.OK


def test_the_number_that_is_advised_is_accepted(model: Path) -> None:
    (fault,) = found(model, Gpus(24 * GIB, 1))
    advised = int(fault.remedy.split()[1])
    (finding,) = found(model, Gpus(24 * GIB, 1), max_model_len=advised)
    assert finding.state is State.OK
    (fault,) = found(model, Gpus(24 * GIB, 1), max_model_len=advised + 1)
    assert fault.state is State.FAULT


def test_a_model_that_is_not_here_is_not_guessed_at() -> None:
    (finding,) = found("Qwen/Qwen3-8B")
    assert finding.state is State.WARN
    assert "config.json of Qwen/Qwen3-8B is not on this machine" in finding.detail


def test_a_model_in_the_hubs_cache_is_found(tmp_path: Path) -> None:
    snapshots = tmp_path / "models--Qwen--Qwen3-8B" / "snapshots"
    snapshots.mkdir(parents=True)
    folder = make(snapshots / "abc", CONFIG)
    assert find_folder("Qwen/Qwen3-8B", tmp_path) == folder
    assert read_shape(folder, "auto").weight_bytes == WEIGHTS


def test_without_a_gpu_the_cache_has_the_size_it_is_given() -> None:
    (finding,) = found(DEMO, Gpus(0, 0), kv_cache_gib=1, max_model_len=4096)
    assert "64 sequences of 4096" in finding.detail and "about" not in finding.detail
    (finding,) = found(DEMO, Gpus(0, 0))
    assert finding.state is State.WARN


def test_the_part_of_a_model_that_reads_text_counts(tmp_path: Path) -> None:
    whole = {"vision_config": {"hidden_size": 1}, "text_config": CONFIG, "torch_dtype": "float16"}
    shape = read_shape(make(tmp_path / "vl", whole), "auto")
    assert (shape.layers, shape.kv_heads, shape.dtype_bytes) == (36, 8, 2)


def test_layers_are_counted_by_what_they_keep(tmp_path: Path) -> None:
    kinds = ["sliding_attention"] * 3 + ["full_attention"] * 2 + ["linear_attention"]
    config = CONFIG | {"layer_types": kinds, "sliding_window": 128}
    shape = read_shape(make(tmp_path / "mixed", config), "auto")
    assert (shape.layers, shape.sliding_layers, shape.window) == (2, 3, 128)
    config = CONFIG | {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
    assert read_shape(make(tmp_path / "latent", config), "auto").latent == 576


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num_hidden_layers": "many"}'])
def test_a_config_that_tells_nothing_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigFault, match="tells no shape"):
        read_shape(tmp_path, "auto")
    (finding,) = found(tmp_path)
    assert finding.state is State.WARN


def test_the_bytes_of_a_number_are_the_profiles_the_models_or_half_of_float32(
    tmp_path: Path,
) -> None:
    single = make(tmp_path / "single", CONFIG | {"torch_dtype": "float32"})
    assert read_shape(single, "auto").dtype_bytes == 2
    assert read_shape(single, "float32").dtype_bytes == 4
    shape = read_shape(single, "auto")
    sizes = [kv_bytes_of(name, shape) for name in (None, "auto", "fp8", "fp8_e5m2", "nvfp4")]
    assert sizes == [2, 2, 1, 1, 0.5]


def test_engines_that_share_a_gpu_may_not_ask_for_more_than_there_is() -> None:
    def engines(*said: dict[str, Any]) -> list[EngineConfig]:
        return [EngineConfig(name=f"e{n}", model=DEMO, **one) for n, one in enumerate(said)]

    half = {"args": {"gpu_memory_utilization": 0.45}}
    assert not list(check_sharing(engines(half, half)))
    assert not list(check_sharing(engines({"devices": (0,)}, {"devices": (1,)})))
    (fault,) = check_sharing(engines({"devices": (0, 1)}, {"devices": (1,)}))
    assert (fault.what, fault.state) == ("GPU 1", State.FAULT)
    assert "1.84 together" in fault.detail


def test_a_number_that_is_none_is_named(model: Path) -> None:
    (finding,) = found(model, args={"gpu_memory_utilization": "much"})
    assert "gpu_memory_utilization must be a number" in finding.detail


def test_our_default_is_that_of_vllm() -> None:
    from vllm.engine.arg_utils import AsyncEngineArgs  # seconds: only where it is needed

    assert AsyncEngineArgs.gpu_memory_utilization == UTILIZATION


async def test_the_doctor_can_be_asked_about_a_machine_one_is_not_on(
    start: Start, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"engines: [{{name: big, model: {model}, max_model_len: 32768}}]")
    doctor = ["-m", "roundhouse", "doctor", "--profile", str(file), "--gpu-memory-gib"]
    small = await start(*doctor, "16")
    assert await small.end() == 1
    assert "1 to mend" in small.output and "tensor_parallel_size: 2" in small.output
    large = await start(*doctor, "80", "--session-tokens", "16000")
    assert await large.end() == 0
    assert "sequences of 16000" in large.output and "Python" not in large.output


@pytest.mark.parametrize("file", sorted((DEPLOY / "profiles").glob("*.yaml")), ids=lambda f: f.stem)
def test_a_shipped_profile_suits_the_gpus_it_names(file: Path, model: Path) -> None:
    """Of the size its first line says, with a model of the size it names."""
    profile = load(None, str(file), Flags())
    gib = 24 if "24 GB" in file.read_text(encoding="utf-8") else 80
    for engine in profile.engines:
        if engine.model == DEMO:
            findings = list(check_context(engine, Gpus(0, 0), Path("/nowhere"), None))
        else:
            here = engine.model_copy(update={"model": str(model)})
            gpus = Gpus(gib * GIB, len(engine.devices or (0,)))
            findings = list(check_context(here, gpus, Path("/nowhere"), 4000))
        assert not [one for one in findings if one.state is State.FAULT], findings
