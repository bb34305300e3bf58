"""One trace from the request through engines and tools and back, over real sockets."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from engine.errors import EngineDead
from gateway.config import TracingConfig
from tests.parts.collector import Collector, Seen, collecting
from tests.parts.engine import ScriptedEngine
from tests.parts.loop import ANSWER, SERVER
from tests.parts.scripts import call, text, turn
from tests.parts.served import Served, served
from tests.tools_service.tool_stand_ins import Trial, stand
from tools_service.errors import Transient
from tools_service.service import running

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
USE_TRIAL = turn(text("look: "), call("trial", '{"q": "x"}'), reason="tool_calls")


@asynccontextmanager
async def house(
    collector: Collector, *engines: ScriptedEngine, trial: Trial | None = None
) -> AsyncIterator[Served]:
    """A gateway and a real tools service that both export there; all is exported at the end."""
    tracing = {"endpoint": collector.url}
    tools = stand(*([trial] if trial else []), tracing=tracing, shutdown_s=0)
    async with (
        asyncio.timeout(60),
        running(tools.parts) as url,
        served(*engines, tools={"url": f"{url}/mcp"}, tracing=tracing) as gateway,
    ):
        yield gateway


async def retried(trial: Trial) -> None:
    """The tool fails in a way that may pass, and then answers."""
    (await trial.begun.get()).fails(Transient("broke down"))
    (await trial.begun.get()).answers()


async def test_a_request_with_a_tool_is_one_trace_across_both_processes() -> None:
    trial = Trial()
    async with (
        collecting() as seen,
        house(seen, ScriptedEngine(USE_TRIAL, ANSWER), trial=trial) as gateway,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(retried(trial))
        answer = await gateway.chat(tools=[SERVER])
    assert answer.status == 200
    assert {span.trace_id for span in seen.spans} == {answer.headers["x-roundhouse-trace"]}
    root = seen.one("POST /v1/chat/completions")
    assert (root.service, root.kind, root.parent) == ("roundhouse-gateway", "server", "")
    assert root.attributes["gen_ai.conversation.id"] == answer.headers["x-roundhouse-session"]
    assert root.attributes["http.response.status_code"] == 200
    turns = ["queue", "chat scripted", "execute_tool trial", "chat scripted"]
    assert seen.children(root) == turns
    for model in (span for span in seen.spans if span.name == "chat scripted"):
        assert seen.children(model) == ["prefill", "decode"]
        check_model(model)
    tool = seen.one("execute_tool trial")
    assert (tool.kind, tool.attributes["gen_ai.tool.call.id"]) == ("client", "call-trial-0")
    served = seen.one("tools/call trial")
    assert (served.service, served.kind, served.parent) == ("roundhouse-tools", "server", tool.id)
    assert served.attributes["gen_ai.operation.name"] == "execute_tool"
    assert served.attributes["gen_ai.tool.name"] == "trial"
    assert seen.children(served) == ["wait", "run", "wait", "run"]
    runs = sorted((s for s in seen.spans if s.name == "run"), key=lambda span: span.start_ns)
    assert [(run.failed, run.attributes["roundhouse.attempt"]) for run in runs] == [
        (True, 1),
        (False, 2),
    ]


def check_model(span: Seen) -> None:
    """What the conventions for generative AI say of an inference."""
    said = span.attributes
    assert span.kind == "client" and not span.failed
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.request.model"] == "scripted"
    assert said["gen_ai.usage.input_tokens"] == 3
    assert said["gen_ai.usage.output_tokens"] == 2
    assert said["gen_ai.usage.cache_read.input_tokens"] == 1
    assert said["roundhouse.engine"] == "zero"


async def test_the_trace_of_the_caller_is_continued() -> None:
    async with collecting() as seen, house(seen, ScriptedEngine(ANSWER)) as gateway:
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        answer = await gateway.ask("POST", "/v1/chat/completions", body, traceparent=CALLER)
    assert answer.headers["x-roundhouse-trace"] == CALLER.split("-")[1]
    root = seen.one("POST /v1/chat/completions")
    assert (root.trace_id, root.parent) == (CALLER.split("-")[1], CALLER.split("-")[2])


async def test_what_the_caller_has_decided_not_to_sample_is_not_recorded() -> None:
    async with collecting() as seen, house(seen, ScriptedEngine(ANSWER)) as gateway:
        unsampled = CALLER[:-2] + "00"
        answer = await gateway.ask(
            "POST", "/v1/chat/completions", {"messages": []}, traceparent=unsampled
        )
    assert answer.headers["x-roundhouse-trace"] == CALLER.split("-")[1]
    assert seen.spans == []


async def test_an_engine_that_failed_and_the_one_that_served_are_both_in_the_trace() -> None:
    dead = ScriptedEngine([EngineDead("gone")], name="dead")
    async with (
        collecting() as seen,
        house(seen, dead, ScriptedEngine(ANSWER, name="well")) as gateway,
    ):
        while not dead.calls:
            assert (await gateway.chat()).status == 200
    attempts = {
        (span.attributes["roundhouse.engine"], span.attributes["roundhouse.attempt"]): span
        for span in seen.spans
        if span.name == "chat scripted"
    }
    assert attempts["dead", 1].failed
    assert attempts["dead", 1].attributes["error.type"] == "EngineDead"
    assert not attempts["well", 2].failed
    assert attempts["dead", 1].parent == attempts["well", 2].parent


async def test_a_client_that_leaves_ends_its_spans() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine(turn(text("a"), gate, text("b")))
    async with collecting() as seen, house(seen, engine) as gateway:
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        url = f"{gateway.url}/v1/chat/completions"
        async with gateway.http.post(url, json=body) as answer:
            await answer.content.readany()
            answer.close()
        await engine.left.wait()
    root = seen.one("POST /v1/chat/completions")
    assert root.attributes["roundhouse.outcome"] == "disconnected"
    assert seen.one("chat scripted").attributes["roundhouse.cut_off"] is True
    assert seen.children(seen.one("chat scripted")) == ["prefill", "decode"]


async def test_a_collector_that_hangs_delays_no_request() -> None:
    gate = asyncio.Event()
    async with collecting(gate) as seen, house(seen, ScriptedEngine(ANSWER)) as gateway:
        assert (await gateway.chat()).status == 200
        await seen.asked.wait()
        assert (await gateway.chat()).status == 200
        assert seen.spans == [], "the collector has not answered"
        gate.set()


async def test_a_collector_that_never_answers_does_not_keep_the_gateway_from_ending() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with (
            asyncio.timeout(60),
            served(ScriptedEngine(ANSWER), tracing={"endpoint": endpoint}) as gateway,
        ):
            assert (await gateway.chat()).status == 200


async def test_a_collector_that_is_down_harms_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = Collector(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
    async with house(away, ScriptedEngine(ANSWER)) as gateway:
        for _ in range(3):
            assert (await gateway.chat()).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/nowhere"])
async def test_every_answer_names_its_trace(path: str) -> None:
    async with served(ScriptedEngine(ANSWER)) as gateway:
        answer = await gateway.ask("GET", path, traceparent=CALLER)
        assert answer.headers["x-roundhouse-trace"] == CALLER.split("-")[1]


async def test_without_tracing_answers_have_ids_of_their_own() -> None:
    async with served(ScriptedEngine(ANSWER)) as gateway:
        one, two = await gateway.chat(), await gateway.chat()
        bad = await gateway.ask("POST", "/v1/chat/completions", b"{")
    ids = [answer.headers["x-roundhouse-trace"] for answer in (one, two, bad)]
    assert bad.status == 400
    assert len(set(ids)) == 3
    assert all(len(bytes.fromhex(trace_id)) == 16 for trace_id in ids)


def test_without_an_endpoint_the_library_is_not_even_imported() -> None:
    program = """
import sys
from prometheus_client import CollectorRegistry
from gateway.app import Gateway, create_app
from gateway.config import GatewayConfig
from tests.parts.engine import ScriptedEngine
from tools_service import __main__
from tools_service.config import ToolsServiceConfig
from tools_service.server import create_app as create_tools
from tools_service.service import assemble
create_app(Gateway(GatewayConfig(), [ScriptedEngine()], None))
create_tools(assemble(ToolsServiceConfig(), (), CollectorRegistry()))
sys.exit("opentelemetry.sdk" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("endpoint", ["collector:4318", "http://user:key@collector:4318"])
def test_an_endpoint_is_a_url_without_a_password(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        TracingConfig(endpoint=endpoint)
