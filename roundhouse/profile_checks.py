"""What the doctor makes of a profile on this machine."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from engine.config import EngineConfig
from roundhouse.checks import Finding, State
from roundhouse.config import Profile
from roundhouse.launch import api_keys
from roundhouse.ports import answers, taken
from roundhouse.probes import Machine, hub_cache

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
TEMPLATES = ("chat_template.jinja", "chat_template.json")
WEIGHTS = ("*.safetensors", "*.bin")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROCESSES_GIB = 3.0  # what the processes need beside weights and KV cache
DOWNLOAD_GIB = 20.0


def check_profile(profile: Profile, machine: Machine, env: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that depends on what is to be served."""
    yield check_port("port", "--port", profile.gateway.host, profile.gateway.port)
    tools = profile.tools_service
    yield check_port("tools port", "--tools-port", tools.host, tools.port)
    yield check_keys(profile, env)
    for engine in profile.engines:
        if engine.kind == "http":
            yield check_server(engine, env)
            continue
        yield check_model(engine, machine, env)
        yield from check_devices(engine, machine)
        yield from check_host_memory(engine)
    yield check_memory(profile, machine)


def check_port(what: str, flag: str, host: str, port: int) -> Finding:
    text = f"{host}:{port}"
    if taken(host, port):
        remedy = f"stop the program that holds it, or take another with {flag}"
        return Finding(what, State.FAULT, f"{text} can't be had", remedy)
    return Finding(what, State.OK, f"{text} is free")


def check_keys(profile: Profile, env: Mapping[str, str]) -> Finding:
    count = len(api_keys(profile, env))
    if count:
        return Finding("API keys", State.OK, f"{count} set")
    if profile.gateway.host in LOOPBACK:
        return Finding("API keys", State.OK, "none; only this machine can ask")
    remedy = "set ROUNDHOUSE_API_KEYS"
    return Finding("API keys", State.WARN, "none: the network can use your model", remedy)


def check_server(engine: EngineConfig, env: Mapping[str, str]) -> Finding:
    """An engine in another process: its key, and whether anybody takes calls at its address."""
    what = f"engine {engine.name}"
    if engine.key_env is not None and not env.get(engine.key_env):
        return Finding(what, State.FAULT, f"{engine.key_env} is not set", "set it to the key")
    parts = urlsplit(engine.url or "")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if answers(parts.hostname or "", port):
        return Finding(what, State.OK, f"{engine.url} takes calls")
    remedy = "start the server, or mend the url; the gateway starts without it and waits for it"
    return Finding(what, State.WARN, f"nobody answers at {engine.url}", remedy)


def check_model(engine: EngineConfig, machine: Machine, env: Mapping[str, str]) -> Finding:
    what = f"model {engine.model_name}"
    if Path(engine.model).is_dir():
        return check_folder(what, Path(engine.model))
    if not HUB_ID.fullmatch(engine.model):
        remedy = "give a folder that exists, or a hub id like Qwen/Qwen3-8B"
        return Finding(what, State.FAULT, f"{engine.model} is no folder", remedy)
    snapshots = hub_cache(env) / f"models--{engine.model.replace('/', '--')}" / "snapshots"
    if any(snapshots.glob("*/config.json")):
        return Finding(what, State.OK, f"{engine.model} is in the hub's cache")
    if env.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        remedy = "unset HF_HUB_OFFLINE, or download the model first"
        return Finding(what, State.FAULT, f"{engine.model} is not downloaded", remedy)
    detail = f"{engine.model} will be downloaded; {machine.disk_gib:.0f} GiB of disk are free"
    remedy = (
        "wait longer at the first start" if machine.disk_gib > DOWNLOAD_GIB else "free the disk"
    )
    return Finding(what, State.WARN, detail, remedy)


def check_folder(what: str, folder: Path) -> Finding:
    missing = [name for name, there in contents(folder) if not there]
    if missing:
        remedy = "complete the folder, or download the model again"
        return Finding(what, State.FAULT, f"{folder} lacks {', '.join(missing)}", remedy)
    if not has_template(folder):
        remedy = "chats need one: add chat_template.jinja"
        return Finding(what, State.FAULT, f"{folder} lacks a chat template", remedy)
    return Finding(what, State.OK, str(folder))


def contents(folder: Path) -> Iterator[tuple[str, bool]]:
    yield "config.json", (folder / "config.json").is_file()
    yield "a tokenizer", any((folder / name).is_file() for name in TOKENIZERS)
    yield "weights", any(True for pattern in WEIGHTS for _ in folder.glob(pattern))


def has_template(folder: Path) -> bool:
    if any((folder / name).is_file() for name in TEMPLATES) or (folder / "tekken.json").is_file():
        return True
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and bool(settings.get("chat_template"))


def check_devices(engine: EngineConfig, machine: Machine) -> Iterator[Finding]:
    """Only where the profile names GPUs that aren't there."""
    absent = [index for index in engine.devices or () if index >= len(machine.gpus)]
    if absent:
        detail = f"{engine.name} wants GPU {absent}, and there are {len(machine.gpus)}"
        yield Finding("devices", State.FAULT, detail, f"change engines: {engine.name}: devices")


def check_host_memory(engine: EngineConfig) -> Iterator[Finding]:
    """Only where it would hold little that the KV cache does not hold as well."""
    host_gib, cache_gib = engine.host_memory_gib, engine.kv_cache_gib or 0.0
    if 0 < host_gib <= cache_gib:
        detail = f"{host_gib:g} GiB for {engine.name}, and its KV cache holds {cache_gib:g} GiB"
        remedy = (
            f"raise engines: {engine.name}: host_memory_gib above kv_cache_gib, or leave it out"
        )
        yield Finding("host memory", State.WARN, detail, remedy)


def check_memory(profile: Profile, machine: Machine) -> Finding:
    """System memory; that of a GPU is vLLM's to divide."""
    caches = 0.0
    if not machine.gpus:
        caches = sum(engine.kv_cache_gib or 0 for engine in profile.engines)
    caches += sum(engine.host_memory_gib for engine in profile.engines)
    local = sum(engine.kind != "http" for engine in profile.engines)
    needed = PROCESSES_GIB * local + caches
    detail = f"{machine.memory_gib:.1f} GiB free, about {needed:.0f} GiB and the weights needed"
    if machine.memory_gib >= needed:
        return Finding("memory", State.OK, detail)
    remedy = "stop other programs, or lower kv_cache_gib or host_memory_gib"
    return Finding("memory", State.WARN, detail, remedy)
