"""The house that live agents ask: the real gateway, engine and tools service, in each variant."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

import models
from benchmarks.agents.live_load import Load
from benchmarks.servers import free_port, serving
from benchmarks.tools_hosting import hosted
from benchmarks.variants import SERVED_NAME, Launch, Setup

DEMO = Path(models.__file__).parent / "demo"
BLOCK = 32
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Variant:
    """What is on; `is_ample`: a pool that holds everything, to see what could be found cached."""

    name: str
    admission: bool = False
    retention: bool = False
    is_ample: bool = False


VANILLA = Variant("vanilla")
ADMISSION = Variant("admission", admission=True)
RETENTION = Variant("retention", retention=True)
BOTH = Variant("both", admission=True, retention=True)
AMPLE = Variant("ample pool", is_ample=True)
VARIANTS = (VANILLA, ADMISSION, RETENTION, BOTH, AMPLE)


@contextmanager
def house(variant: Variant, load: Load, blocks: int) -> Iterator[str]:
    """Start everything anew; gives the gateway's URL. Raises ServerFailed."""
    tools = [sys.executable, "-m", "benchmarks.agents.live_tools"]
    with (
        TemporaryDirectory() as folder,
        hosted(tools, msgspec.json.encode(load).decode()) as (tools_url, _),
    ):
        launch = _launch(variant, load, blocks, f"{tools_url}/mcp", Path(folder))
        with serving(launch, Path(folder) / "log", cores=None):
            yield f"http://127.0.0.1:{launch.port}"


def profile(
    variant: Variant, load: Load, blocks: int, tools_url: str, port: int = 0
) -> dict[str, object]:
    """The gateway's settings in one variant."""
    if variant.is_ample:
        blocks = (load.sessions + 1) * _LONGEST // BLOCK
    args = {
        "enforce_eager": True,
        "block_size": BLOCK,
        "num_gpu_blocks_override": blocks,
        "max_num_seqs": load.live,
        "override_generation_config": {"temperature": 0},
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    engine = {
        "name": SERVED_NAME,
        "model": str(DEMO),
        "tool_parser": "hermes",
        "retention": variant.retention,
        "max_model_len": min(_LONGEST, (blocks - 1) * BLOCK),  # vLLM keeps one for itself
        "args": args,
    }
    gateway = {
        "host": "127.0.0.1",
        "port": port,
        "programs": {"enabled": variant.admission},
        "retention": {"enabled": variant.retention},
        "queue": {"wait_s": 600},
        "tools": {"url": tools_url},
    }
    return {"gateway": gateway, "engines": [engine]}


def _launch(variant: Variant, load: Load, blocks: int, tools_url: str, folder: Path) -> Launch:
    port = free_port()
    file = folder / "gateway.json"
    file.write_text(json.dumps(profile(variant, load, blocks, tools_url, port)))
    argv = [sys.executable, "-m", "gateway", "--config", str(file)]
    environment = Setup(DEMO, fake=False, step_ms=0).environment
    return Launch(argv, environment, port, "/readyz")
