"""The gateway's client against the real tools service, on a real socket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from gateway.errors import ToolsDown
from gateway.events import ToolGroup, ToolOutcome, ToolStarted
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.tool_wire import header
from tools_service.config import ToolsServiceConfig
from tools_service.server import Parts
from tools_service.service import assemble, running
from tools_service.tools.calculate import Calculate
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_ANY: Schema = {"type": "object"}
_CLOSED = Annotations(read_only=True, idempotent=True, open_world=False)
Event = ToolStarted | ToolOutcome


@dataclass
class Gate:
    """A tool that ends when the test opens it."""

    name: str = "gate"
    description: str = "Wait until the test says so."
    input_schema: Schema = field(default_factory=lambda: _ANY)
    output_schema: Schema | None = None
    annotations: Annotations = _CLOSED
    upstream: str | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Context] = field(default_factory=list)

    def shape(self, arguments: Arguments) -> str:
        return "any"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        self.seen.append(context)
        self.started.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            raise
        return Output("x" * int(str(arguments.get("size", 6))))


@dataclass
class Service:
    """The real service and its gate."""

    gate: Gate
    parts: Parts
    url: str = ""


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[Service]:
    gate = Gate()
    config = ToolsServiceConfig.model_validate({"port": 0, "shutdown_s": 0, **settings})
    built = Service(gate, assemble(config, (gate, Calculate()), CollectorRegistry()))
    async with running(built.parts) as base:
        built.url = f"{base}/mcp"
        yield built


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with asyncio.timeout(20), serving() as built:
        yield built


@pytest.fixture
async def client(service: Service) -> AsyncIterator[ToolClient]:
    async with ToolClient(ToolClientConfig(service.url)) as tools:
        yield tools


async def collect(
    client: ToolClient, name: str, timeout_s: float = 10.0, **arguments: object
) -> list[Event]:
    calls = client.call(name, arguments, session="s", group=None, timeout_s=timeout_s)
    return [event async for event in calls]


async def outcome(client: ToolClient, name: str, **arguments: object) -> ToolOutcome:
    last = (await collect(client, name, 10.0, **arguments))[-1]
    assert isinstance(last, ToolOutcome)
    return last


async def test_a_call_starts_and_then_ends_with_its_result(client: ToolClient) -> None:
    started, done = await collect(client, "calculate", expression="6 * 7")
    assert isinstance(started, ToolStarted)
    assert isinstance(done, ToolOutcome)
    assert (done.text, done.failed, done.outcome) == ('{"result": 42}', False, "ok")
    assert (done.size, done.truncated) == (14, False)
    assert done.expected_s == started.expected_s
    assert done.wait_s == started.wait_s
    assert 0 < done.run_s < done.took_s


async def test_the_start_arrives_while_the_tool_still_runs(
    service: Service, client: ToolClient
) -> None:
    calls = client.call("gate", {}, session="s", group=None, timeout_s=10)
    assert isinstance(await anext(calls), ToolStarted)
    service.gate.opened.set()
    assert isinstance(await anext(calls), ToolOutcome)
    with pytest.raises(StopAsyncIteration):
        await anext(calls)


async def test_a_failed_tool_is_an_outcome(client: ToolClient) -> None:
    done = await outcome(client, "calculate", expression="1/0")
    assert (done.text, done.failed, done.outcome) == ("error: division by zero", True, "error")


async def test_a_tool_that_does_not_exist_is_an_outcome_even_with_a_strange_name(
    client: ToolClient,
) -> None:
    for name in ("nothing", "no\r\nsuch: tool", "wärmflasche", " padded ", "=?base64?x?="):
        (done,) = await collect(client, name)
        assert isinstance(done, ToolOutcome)
        assert done.text.startswith("error: unknown tool")
        assert done.expected_s is None


async def test_closing_the_generator_stops_the_tool(service: Service, client: ToolClient) -> None:
    calls = client.call("gate", {}, session="s", group=None, timeout_s=10)
    async with aclosing(calls):
        await anext(calls)
        await service.gate.started.wait()
    await service.gate.stopped.wait()
    assert (await outcome(client, "calculate", expression="1")).text == '{"result": 1}'


async def test_cancelling_the_caller_stops_the_tool(service: Service, client: ToolClient) -> None:
    task = asyncio.create_task(collect(client, "gate"))
    await service.gate.started.wait()
    task.cancel()
    await service.gate.stopped.wait()


async def test_session_and_group_reach_the_tool(service: Service, client: ToolClient) -> None:
    service.gate.opened.set()
    group = ToolGroup("g", 2, deadline_s=5.0)
    async for _ in client.call("gate", {}, session="s", group=group, timeout_s=10):
        pass
    assert service.gate.seen == [Context("s", "g", "anyone")]


async def test_the_service_ends_a_call_at_the_callers_bound(
    service: Service, client: ToolClient
) -> None:
    done = (await collect(client, "gate", timeout_s=0.05))[-1]
    assert isinstance(done, ToolOutcome)
    assert (done.outcome, done.failed) == ("timeout", True)
    assert done.text.startswith("error: gate did not finish")
    assert service.gate.stopped.is_set()


async def test_a_large_result_arrives_whole_up_to_the_cap(
    service: Service, client: ToolClient
) -> None:
    service.gate.opened.set()
    done = await outcome(client, "gate", size=60_000)
    assert (done.size, done.truncated) == (60_000, False)
    done = await outcome(client, "gate", size=200_000)
    assert (done.size, done.truncated) == (65_536, True)


async def test_many_calls_share_few_connections(service: Service) -> None:
    service.gate.opened.set()
    async with ToolClient(ToolClientConfig(service.url, connections=2)) as tools:
        done = await asyncio.gather(*(outcome(tools, "gate") for _ in range(20)))
    assert {each.text for each in done} == {"xxxxxx"}


async def test_the_tools_are_listed_once_within_their_time(service: Service) -> None:
    async with ToolClient(ToolClientConfig(service.url)) as tools:
        first, *others = await asyncio.gather(*(tools.tools() for _ in range(5)))
    assert [spec.name for spec in first] == ["calculate", "gate"]
    assert first[0].input_schema["required"] == ["expression"]
    assert all(other is first for other in others)


async def test_the_tools_are_listed_again_when_their_time_is_over(service: Service) -> None:
    async with ToolClient(ToolClientConfig(service.url, list_ttl_s=0)) as tools:
        assert await tools.tools() is not await tools.tools()


async def test_a_wrong_token_is_the_services_error_and_not_the_tools() -> None:
    async with serving(token="right") as service:
        async with ToolClient(ToolClientConfig(service.url, token="wrong")) as tools:
            with pytest.raises(ToolsDown, match="401"):
                await outcome(tools, "gate")
        async with ToolClient(ToolClientConfig(service.url, token="right")) as tools:
            assert await tools.tools()


async def test_the_table_and_what_runs_are_shown_to_the_right_token_only() -> None:
    async with serving(token="right") as service, asyncio.timeout(20):
        async with ToolClient(ToolClientConfig(service.url, token="right")) as tools:
            await outcome(tools, "calculate", expression="1")
            rows = (await tools.look("runtimes", 10.0))["runtimes"]
            assert {row["tool"] for row in rows if row["samples"] == 1} == {"calculate"}
            assert all(row["p10_s"] <= row["p50_s"] <= row["p90_s"] for row in rows)
            async with aclosing(
                tools.call("gate", {}, session="s", group=None, timeout_s=10)
            ) as calls:
                await anext(calls)
                (run,) = (await tools.look("running", 10.0))["running"]
                assert run["tool"] == "gate" and run["shape"]
        async with ToolClient(ToolClientConfig(service.url, token="wrong")) as tools:
            with pytest.raises(ToolsDown, match="401"):
                await tools.look("runtimes", 10.0)


async def test_a_draining_service_is_not_healthy_and_takes_no_calls(
    service: Service, client: ToolClient
) -> None:
    assert await client.healthy()
    await service.parts.executor.drain(0)
    assert not await client.healthy()
    with pytest.raises(ToolsDown, match="shutting down"):
        await outcome(client, "gate")


async def test_a_service_that_dies_in_mid_call_is_down() -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(20))
        service = await stack.enter_async_context(serving())
        tools = ToolClient(ToolClientConfig(service.url))
        async with tools:
            calls = tools.call("gate", {}, session="s", group=None, timeout_s=10)
            await anext(calls)
            end = asyncio.create_task(_end(calls))
            await stack.aclose()
            with pytest.raises(ToolsDown):
                await end


async def test_a_client_closed_in_mid_call_says_that_the_service_is_gone(service: Service) -> None:
    async with ToolClient(ToolClientConfig(service.url)) as tools:
        calls = tools.call("gate", {}, session="s", group=None, timeout_s=10)
        await anext(calls)
        end = asyncio.create_task(_end(calls))
    with pytest.raises(ToolsDown):
        await end


async def _end(calls: AsyncGenerator[Event, None]) -> Event:
    return await anext(calls)


async def test_no_service_is_down(client: ToolClient, unused_url: str) -> None:
    async with ToolClient(ToolClientConfig(unused_url)) as tools:
        assert not await tools.healthy()
        with pytest.raises(ToolsDown):
            await tools.tools()
        with pytest.raises(ToolsDown):
            await outcome(tools, "gate")


@pytest.fixture
def unused_url() -> str:
    return "http://127.0.0.1:1/mcp"


def test_a_name_goes_into_a_header_as_the_protocol_says() -> None:
    assert header("search") == "search"
    assert header("wärme") == "=?base64?d8Okcm1l?="
