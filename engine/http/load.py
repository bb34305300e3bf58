"""A server's load, read from its `/metrics` page."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from engine.types import EngineLoad

VLLM = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_used_ratio",
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generated_tokens",
}
SGLANG = {
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "waiting",
    "sglang:token_usage": "kv_used_ratio",
    "sglang:max_total_num_tokens": "kv_tokens",
    "sglang:prompt_tokens_total": "prompt_tokens",
    "sglang:generation_tokens_total": "generated_tokens",
}
FIELDS = VLLM | SGLANG
# prometheus_client's own parser takes tens of milliseconds for vLLM's page, on the event loop.
SAMPLE = re.compile(r"^(" + "|".join(map(re.escape, FIELDS)) + r")(?:\{.*\})? (\S+)", re.MULTILINE)
# Each of vLLM's ranks says in labels how its cache is made; the value is always 1.
CACHE = re.compile(r"^vllm:cache_config_info\{(.*)\} \S+", re.MULTILINE)
AWAKE = re.compile(
    r'^vllm:engine_sleep_state\{(?:.*,)?sleep_state="awake"(?:,.*)?\} (\S+)', re.MULTILINE
)
COUNT = re.compile(r'(?:^|,)(kv_cache_size_tokens|num_gpu_blocks|block_size)="(\d+)"')


@dataclass(slots=True)
class Page:
    """What a page says."""

    load: EngineLoad
    names: frozenset[str] = field(default_factory=frozenset)
    is_asleep: bool | None = None
    """None where the page says nothing of sleep."""

    @property
    def flavour(self) -> str | None:
        """Whose names the page has."""
        prefixes = {name.partition(":")[0] for name in self.names}
        return prefixes.pop() if len(prefixes) == 1 else None


def read(content: bytes) -> Page:
    """The load: counts of several ranks and models are added, of their caches the fullest tells."""
    sums: dict[str, float] = defaultdict(float)
    names = set()
    text = content.decode(errors="replace")
    for name, value in SAMPLE.findall(text):
        names.add(name)
        what, number = FIELDS[name], _number(value)
        sums[what] = max(sums[what], number) if what == "kv_used_ratio" else sums[what] + number
    ratio = min(1.0, max(0.0, sums.pop("kv_used_ratio", 0.0)))
    sums["kv_tokens"] += sum(_pool(labels) for labels in CACHE.findall(text))
    counts = {name: int(value) for name, value in sums.items()}
    awake = AWAKE.findall(text)
    is_asleep = not all(map(_number, awake)) if awake else None
    load = EngineLoad(kv_used_ratio=ratio, is_asleep=bool(is_asleep), **counts)
    return Page(load, frozenset(names), is_asleep)


def _pool(labels: str) -> int:
    """Tokens that one rank's cache holds."""
    said = {name: int(count) for name, count in COUNT.findall(labels)}
    blocks = said.get("num_gpu_blocks", 0) * said.get("block_size", 0)
    return said.get("kv_cache_size_tokens", blocks)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 <= number < float("inf") else 0.0
