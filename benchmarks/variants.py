"""What is compared: how to start each server with the same model and the same engine flags."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fake_step import STEP_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
SERVED_NAME = "bench"
FAKE_EXECUTOR = "benchmarks.fake_executor.FakeExecutor"
# Few-core machines: the figures are about the front end, so the model's threads stay out of it.
# WARNING also drops vLLM's periodic log line, which makes its server a little cheaper.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
}


class NotRunnable(Exception):
    """A variant cannot run on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The engine that every variant serves."""

    model: Path
    fake: bool
    step_ms: float
    max_model_len: int = 4096
    max_num_seqs: int = 256

    @property
    def engine_args(self) -> dict[str, str | int | bool]:
        """Engine arguments by vLLM's Python names, beside `max_model_len`."""
        args: dict[str, str | int | bool] = {
            "enforce_eager": True,
            "max_num_seqs": self.max_num_seqs,
        }
        if self.fake:
            args["distributed_executor_backend"] = FAKE_EXECUTOR
        return args

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every server."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {
            **os.environ,
            **_ENVIRONMENT,
            "PYTHONPATH": path,
            STEP_VARIABLE: str(self.step_ms),
        }


@dataclass(frozen=True, slots=True)
class Launch:
    """One server to start; `front` is the program name of a front end that is a child."""

    argv: list[str]
    environment: dict[str, str]
    port: int
    ready_path: str
    front: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server listens and may write files."""

    port: int
    folder: Path = field(default_factory=Path.cwd)


def vllm(setup: Setup, place: Place) -> Launch:
    """vLLM's own server in Python, with its default flags."""
    argv = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *_flags(setup, place)]
    return Launch(argv, setup.environment, place.port, "/health")


def vllm_rust(setup: Setup, place: Place) -> Launch:
    """vLLM's own server with its front end in Rust; raises NotRunnable without the binary."""
    binary = _rust_binary()
    environment = setup.environment | {
        "VLLM_USE_RUST_FRONTEND": "1",
        "VLLM_RUST_FRONTEND_PATH": str(binary),
    }
    program = shutil.which("vllm", path=str(Path(sys.executable).parent))
    if program is None:
        raise NotRunnable("the `vllm` command is not installed")
    argv = [program, "serve", *_flags(setup, place)]
    return Launch(argv, environment, place.port, "/health", front=binary.name)


def gateway(setup: Setup, place: Place, **settings: object) -> Launch:
    """Our gateway with the engine in process, everything on that is on by default.

    `settings` are the gateway's.
    """
    engine = {
        "name": SERVED_NAME,
        "kind": "vllm",
        "model": str(setup.model),
        "served_name": SERVED_NAME,
        "max_model_len": setup.max_model_len,
        "tool_parser": "hermes",
        "args": setup.engine_args,
    }
    own = {"host": "127.0.0.1", "port": place.port, **settings}
    config = {"gateway": own, "engines": [engine]}
    file = place.folder / f"gateway-{place.port}.json"
    file.write_text(json.dumps(config, indent=2))
    argv = [sys.executable, "-m", "gateway", "--config", str(file)]
    return Launch(argv, setup.environment, place.port, "/readyz")


VARIANTS: dict[str, Callable[[Setup, Place], Launch]] = {
    "gateway": gateway,
    "vllm": vllm,
    "vllm-rust": vllm_rust,
}


def _flags(setup: Setup, place: Place) -> list[str]:
    flags = ["--model", str(setup.model), "--served-model-name", SERVED_NAME]
    flags += ["--host", "127.0.0.1", "--port", str(place.port)]
    flags += ["--max-model-len", str(setup.max_model_len)]
    for name, value in setup.engine_args.items():
        flags.append(f"--{name.replace('_', '-')}")
        if value is not True:
            flags.append(str(value))
    return flags


def _rust_binary() -> Path:
    """The front end's binary: where the environment says, or inside the vllm package."""
    named = os.environ.get("VLLM_RUST_FRONTEND_PATH", "")
    spec = importlib.util.find_spec("vllm")
    packaged = Path(spec.origin).parent / "vllm-rs" if spec and spec.origin else Path("vllm-rs")
    binary = Path(named) if named else packaged
    if not binary.is_file():
        raise NotRunnable(
            "this vllm package carries no vllm-rs binary and VLLM_RUST_FRONTEND_PATH names none"
        )
    return binary
