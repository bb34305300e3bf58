"""Who is compared in the benchmark of the hop: how to start each gateway before one upstream."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.servers import free_port
from benchmarks.variants import ROOT, Launch, Place

MODEL = "mock"


def upstream(place: Place, tick_ms: float) -> Launch:
    """The model server behind all of them."""
    argv = [sys.executable, "-m", "benchmarks.hop_upstream", "--port", str(place.port)]
    return Launch([*argv, "--tick-ms", str(tick_ms)], dict(os.environ), place.port, "/health")


def gateway(program: Path, place: Place, url: str, **settings: object) -> Launch:
    """Roundhouse on this interpreter, all on that is by default; `settings` are the gateway's."""
    engine = {"name": "upstream", "kind": "http", "url": url, "model": MODEL, "served_name": MODEL}
    own = {"host": "127.0.0.1", "port": place.port, **settings}
    config = {"gateway": own, "engines": [engine]}
    file = place.folder / f"gateway-{place.port}.json"
    file.write_text(json.dumps(config))
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    argv = [str(program), "-m", "gateway", "--config", str(file)]
    return Launch(argv, {**os.environ, "PYTHONPATH": path}, place.port, "/livez")


def smg(program: Path, place: Place, url: str) -> Launch:
    """SMG, the successor of SGLang's router (Rust)."""
    argv = [str(program), "launch", "--worker-urls", url, "--policy", "round_robin"]
    argv += ["--host", "127.0.0.1", "--port", str(place.port), "--log-level", "error"]
    argv += ["--prometheus-port", str(free_port()), "--disable-tokenizer-autoload"]
    return Launch([*argv, "--backend", "vllm"], dict(os.environ), place.port, "/health")


def vllm_router(program: Path, place: Place, url: str) -> Launch:
    """vllm-router (Rust)."""
    argv = [str(program), "--worker-urls", url, "--policy", "round_robin"]
    argv += ["--host", "127.0.0.1", "--port", str(place.port), "--log-level", "error"]
    argv += ["--prometheus-port", str(free_port())]
    return Launch(argv, dict(os.environ), place.port, "/health")


def litellm(program: Path, place: Place, url: str) -> Launch:
    """LiteLLM's proxy (Python), one worker."""
    params = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "none"}
    config = {"model_list": [{"model_name": MODEL, "litellm_params": params}]}
    file = place.folder / f"litellm-{place.port}.yaml"
    file.write_text(json.dumps(config))
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_TELEMETRY": "False",
    }
    environment.pop("PYTHONPATH", None)
    argv = [str(program), "--config", str(file), "--host", "127.0.0.1", "--num_workers", "1"]
    ready = "/health/liveliness"
    return Launch([*argv, "--port", str(place.port)], environment, place.port, ready)


PEERS: Mapping[str, Callable[[Path, Place, str], Launch]] = {
    "gateway": gateway,
    "smg": smg,
    "vllm-router": vllm_router,
    "litellm": litellm,
}
