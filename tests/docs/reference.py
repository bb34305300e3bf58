"""The parts of docs/ that are read from the code: `python -m tests.docs.reference` writes them."""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute, Route
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest

import gateway
from engine.vllm.serving import UNSERVED
from gateway.app import Gateway, create_app
from gateway.config import GatewayConfig
from gateway.errors import GatewayError
from roundhouse.capacity import GIB, Plan, budget, sequences, token_bytes
from tests.docs import settings
from tests.parts.engine import ScriptedEngine
from tests.roundhouse.test_capacity import QWEN3_8B
from tools_service import server
from tools_service.config import ToolsServiceConfig
from tools_service.metrics import UpstreamMetrics
from tools_service.service import assemble

DOCS = Path(__file__).parents[2] / "docs"
FILES = (DOCS / "api.md", DOCS / "operations.md")
BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
# The worked example: the same model everywhere, 256 sequences at most, vLLM's other defaults.
PLANS = {
    "24 GiB": Plan(24 * GIB, 0.92),
    "24 GiB, `kv_cache_dtype: fp8`": Plan(24 * GIB, 0.92, kv_dtype_bytes=1),
    "80 GiB": Plan(80 * GIB, 0.92),
    "two of 80 GiB, `tensor_parallel_size: 2`": Plan(80 * GIB, 0.92, tensor_parallel=2),
}
# What the code of a page can't say of itself: raw endpoints, and what libraries bring.
PAGES = {
    "/v1/chat/completions": "OpenAI's chat completions.",
    "/v1/completions": "OpenAI's text completions.",
    "/mcp": "MCP over streamable HTTP, with a token.",
    "/runtimes": "The runtime table, with a token.",
    "/running": "The calls that run or wait, with a token.",
    "/health": "Whether calls are taken, or engines live, and how many there are.",
    "/metrics": "Everything Prometheus wants to know.",
    "/docs": "These pages, made by FastAPI.",
    "/openapi.json": "The same for programs.",
}
OWN = ("roundhouse_",)
# Fields the gateway itself gives a meaning to, or refuses.
TAKEN = {"functions", "function_call", "store", "chat_template"}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *map(tuple, rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def scripted() -> Gateway:
    """A gateway with everything in it and no model."""
    return Gateway(GatewayConfig(), [ScriptedEngine(name="scripted")], None)


def gateway_pages() -> str:
    return table(("page", "what"), pages(create_app(scripted()).pages.routes))


def tools_pages() -> str:
    parts = assemble(ToolsServiceConfig(), [], CollectorRegistry())
    return table(("page", "what"), pages(server.create_app(parts).routes))


def pages(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        assert isinstance(route, Route)
        path = route.path.replace(":path", "")
        if path in ("/docs/oauth2-redirect", "/redoc"):
            continue
        own = inspect.isroutine(route.endpoint) and first_line(route.endpoint.__doc__)
        methods = (route.methods or {"GET", "POST", "DELETE"}) - {"HEAD"}
        yield f"`{', '.join(sorted(methods))} {path}`", own or PAGES[path]


def errors() -> str:
    rows = [
        (str(kind.status), f"`{kind.type}`", f"`{code}`", first_line(kind.__doc__))
        for kind in sorted(kinds(GatewayError), key=lambda kind: (kind.status, kind.__name__))
        for code in [kind.code, *sorted(CODES.get(kind.__name__, ()))]
    ]
    return table(("status", "type", "code", "when"), rows)


def kinds(of: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def said_codes() -> dict[str, set[str]]:
    """Codes that an error is given where it is raised: {class: codes}."""
    found: dict[str, set[str]] = {}
    for file in Path(gateway.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for name, code in codes(node):
                    found.setdefault(name, set()).add(code)
    return found


def codes(call: ast.Call) -> Iterator[tuple[str, str]]:
    if isinstance(call.func, ast.Name):
        for word in call.keywords:
            if word.arg == "code" and isinstance(word.value, ast.Constant):
                yield call.func.id, str(word.value.value)
    elif isinstance(call.func, ast.Attribute) and call.func.attr == "refusal":  # of the queue
        assert isinstance(call.args[1], ast.Constant)
        yield "Overloaded", str(call.args[1].value)


CODES = said_codes()


def gateway_metrics() -> str:
    return metrics(scripted().registry)


def tools_metrics() -> str:
    registry = CollectorRegistry()
    assemble(ToolsServiceConfig(), [], registry)
    UpstreamMetrics(registry)
    return metrics(registry)


def metrics(registry: CollectorRegistry) -> str:
    rows = []
    for family in registry.collect():
        if family.name.startswith(OWN):
            name = family.name + ("_total" if family.type == "counter" else "")
            marks = labels(registry, family.name)
            rows.append((f"`{name}`", family.type, marks, family.documentation))
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def labels(registry: CollectorRegistry, name: str) -> str:
    """Instruments know their labels before the first value; gauges that are read show them."""
    collector = registry._names_to_collectors[name]
    known = getattr(collector, "_labelnames", None)
    if known is None:
        families = [family for family in collector.collect() if family.name == name]
        named = {label for one in families for label in getattr(one, "_labelnames", ())}
        shown = {label for one in families for sample in one.samples for label in sample.labels}
        known = sorted(named | shown)
    return ", ".join(known)


def all_settings() -> str:
    rows = ((f"`{name}`", kind, said, words) for name, kind, said, words in settings.rows())
    return table(("setting", "type", "default", "meaning"), rows)


def chat_fields() -> str:
    return fields(ChatCompletionRequest.model_fields)


def completion_fields() -> str:
    return fields(CompletionRequest.model_fields)


def fields(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(set(names) - UNSERVED - TAKEN)) + "\n"


def capacity() -> str:
    """Qwen3-8B on GPUs of several sizes, by the doctor's own arithmetic."""
    rows = []
    for name, plan in PLANS.items():
        left = budget(QWEN3_8B, plan) / GIB
        fit = (sequences(QWEN3_8B, plan, tokens) for tokens in (4096, 16_384, 32_768))
        each = f"{token_bytes(QWEN3_8B, plan) / 1024:g} KiB"
        rows.append((name, each, f"{left:.1f} GiB", *map(str, fit)))
    head = ("GPU", "a token", "KV cache", "sessions of 4,096", "of 16,384", "of 32,768")
    return table(head, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "gateway-pages": gateway_pages,
    "tools-pages": tools_pages,
    "chat-fields": chat_fields,
    "completion-fields": completion_fields,
    "errors": errors,
    "gateway-metrics": gateway_metrics,
    "tools-metrics": tools_metrics,
    "settings": all_settings,
    "capacity": capacity,
}


def written(page: str) -> str:
    """The page with every block as the code says it now."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]()}{found[3]}", page)


if __name__ == "__main__":
    for file in FILES:
        file.write_text(written(file.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{file} is up to date\n")
