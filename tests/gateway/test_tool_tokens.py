"""The tokens the gateway shows, against the service that reads them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from gateway.access import tenant_of
from gateway.errors import ToolsDown
from gateway.events import ToolOutcome, ToolSpec
from gateway.tool_client import ToolClient, ToolClientConfig
from gateway.tool_lists import ToolLists
from gateway.tool_tokens import Tokens
from tests.parts.clock import Clock
from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.service import running
from tools_service.tokens import Tokens as Verifier

ONE, TWO = map(tenant_of, ("one", "two"))


@pytest.fixture
async def service() -> AsyncIterator[Stand]:
    lists = {ONE: ["act", "gate"], "*": ["calculate"]}
    built = stand(token="secret", tenants=lists, shutdown_s=0)
    async with asyncio.timeout(20), running(built.parts) as built.url:
        yield built


@pytest.fixture
async def client(service: Stand) -> AsyncIterator[ToolClient]:
    async with ToolClient(ToolClientConfig(service.mcp, token="secret")) as tools:
        yield tools


async def test_the_service_knows_whom_a_call_is_for(service: Stand, client: ToolClient) -> None:
    service.gate.opened.set()
    calls = client.call("gate", {}, session="s", group=None, timeout_s=10, tenant=ONE)
    async for _ in calls:
        pass
    assert [seen.caller for seen in service.gate.seen] == [ONE]


async def test_each_tenant_is_offered_its_own_tools(client: ToolClient) -> None:
    assert [spec.name for spec in await client.tools(ONE)] == ["act", "gate"]
    assert [spec.name for spec in await client.tools(TWO)] == ["calculate"]
    assert [spec.name for spec in await client.tools(ONE)] == ["act", "gate"]


async def test_a_tool_of_others_is_unknown(service: Stand, client: ToolClient) -> None:
    calls = client.call("gate", {}, session="s", group=None, timeout_s=10, tenant=TWO)
    outcomes = [event async for event in calls if isinstance(event, ToolOutcome)]
    assert outcomes[0].text == "error: unknown tool 'gate'; the tools are: calculate"
    assert not service.gate.seen


async def test_another_secret_is_no_help(service: Stand) -> None:
    async with ToolClient(ToolClientConfig(service.mcp, token="other")) as tools:
        with pytest.raises(ToolsDown, match="401"):
            await tools.tools(ONE)


async def test_a_token_is_used_again_and_renewed_before_it_expires() -> None:
    clock = Clock(time.time() - 200)
    tokens, verifier = Tokens("secret", clock=clock), Verifier("secret")
    first = tokens.header(ONE)
    assert tokens.header(ONE) == first != tokens.header(TWO)
    clock.now_s += 200
    second = tokens.header(ONE)
    assert second != first
    known = await verifier.verify_token(second.removeprefix("Bearer "))
    assert known is not None
    assert known.subject == ONE


async def test_lists_of_tenants_that_stay_away_are_dropped() -> None:
    asked: list[str] = []

    async def fetch(tenant: str) -> tuple[ToolSpec, ...]:
        asked.append(tenant)
        return ()

    lists = ToolLists(fetch, ttl_s=3600)
    for number in range(300):
        await lists.get(str(number))
    await lists.get("299")
    await lists.get("0")
    assert (asked.count("299"), asked.count("0")) == (1, 2)
