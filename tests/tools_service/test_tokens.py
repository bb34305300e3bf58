"""Who may come in, and as whom."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
from aiohttp import ClientSession
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.service import running
from tools_service.tenants import Tenants
from tools_service.tokens import AUDIENCE, derived

KEY = derived("secret", "token")


def token(key: bytes | str = KEY, algorithm: str = "HS256", **changes: object) -> str:
    """A good token, but for these claims; None takes one away."""
    now = int(time.time())
    claims: dict[str, Any] = {"aud": AUDIENCE, "sub": "tenant", "iat": now, "exp": now + 60}
    whole = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(whole, key, algorithm=algorithm)


NOW = int(time.time())
BAD = {
    "for another audience": token(aud="somebody-else"),
    "for nobody": token(aud=None),
    "expired": token(iat=NOW - 3600, exp=NOW - 1800),
    "without an end": token(exp=None),
    "that lives for days": token(exp=NOW + 86400),
    "from the future": token(iat=NOW + 3600, exp=NOW + 3660),
    "without a subject": token(sub=None),
    "unsigned": token("", algorithm="none"),
    "signed by another": token(derived("other", "token")),
    "signed with a key for something else": token(derived("secret", "request state")),
    "signed with another algorithm": token(KEY * 2, algorithm="HS512"),
    "that is none": "abc.def.ghi",
}


@pytest.fixture
async def service() -> AsyncIterator[Stand]:
    built = stand(token="secret", shutdown_s=0)
    async with running(built.parts) as built.url:
        yield built


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_nobody_comes_in_with_a_token(service: Stand, bad: str) -> None:
    async with (
        ClientSession(headers={"authorization": f"Bearer {bad}"}) as http,
        http.get(f"{service.url}/runtimes") as response,
    ):
        assert response.status == 401
        assert response.headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("caller", ["tenant", "operator"])
@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_caller_is_who_the_token_says_and_nobody_else(
    service: Stand, caller: str, era: str
) -> None:
    service.gate.opened.set()
    # Signed now, not when the tests are collected: it would have expired.
    shown = "secret" if caller == "operator" else token()
    headers = {"authorization": f"Bearer {shown}"}
    async with httpx2.AsyncClient(headers=headers) as http:
        transport = streamable_http_client(service.mcp, http_client=http)
        async with Client(transport, mode=era) as client:
            meta: Any = {"caller": "root", "sub": "root"}
            await client.call_tool("gate", {"caller": "root"}, meta=meta)
    assert [seen.caller for seen in service.gate.seen] == [caller]


async def test_without_a_secret_nobody_is_known() -> None:
    built = stand(shutdown_s=0)
    built.gate.opened.set()
    async with running(built.parts) as url, Client(f"{url}/mcp") as client:
        await client.call_tool("gate", {})
    assert [seen.caller for seen in built.gate.seen] == ["anyone"]


async def test_a_tenant_sees_and_calls_its_own_tools_only() -> None:
    built = stand(tenants={"*": ["act"]}, shutdown_s=0)
    async with running(built.parts) as url, Client(f"{url}/mcp") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["act"]
        refused = await client.call_tool("gate", {})
    assert refused.is_error
    (said,) = refused.content
    assert isinstance(said, TextContent)
    assert said.text == "error: unknown tool 'gate'; the tools are: act"


def test_who_is_on_no_list_gets_nothing_and_the_operator_everything() -> None:
    tenants = Tenants({"a": ("search",), "b": ("*",)})
    assert tenants.allowed("a") == frozenset({"search"})
    assert tenants.allowed("b") is None
    assert tenants.allowed("c") == frozenset()
    assert tenants.allowed("operator") is None
    assert Tenants({}).allowed("c") is None
    assert Tenants({"*": ("search",)}).allowed("c") == frozenset({"search"})


def test_allow_lists_without_a_token_are_refused() -> None:
    config = ToolsServiceConfig(tenants={"a": ("search",)})
    with pytest.raises(ConfigError, match="needs a token"):
        config.check_door()


async def test_a_session_is_of_no_use_to_another_tenant(service: Stand) -> None:
    """The id of a session of 2025-11-25 is not a key: only its tenant may go on with it."""
    greeting = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    base = {"accept": "application/json, text/event-stream"}
    statuses: list[int] = []
    async with ClientSession(headers=base) as http:
        mine, others = ({"authorization": f"Bearer {token(sub=sub)}"} for sub in ("a", "b"))
        async with http.post(f"{service.url}/mcp", json=greeting, headers=mine) as response:
            session = {"mcp-session-id": response.headers["mcp-session-id"]}
            await response.read()
        for shown in (others, mine):
            headers = {**shown, **session, "mcp-protocol-version": "2025-11-25"}
            async with http.post(f"{service.url}/mcp", json=listing, headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [404, 200]
