"""From the settings to the tools: what is served by default, and what is missing says so."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client
from pydantic import ValidationError

from tests.tools_service.fake_tavily import FakeTavily
from tests.tools_service.test_tools_process import process, start
from tests.tools_service.web_stand_ins import LOOPBACK, NOBODY, Api, serving
from tools_service.config import SearchConfig, ToolsServiceConfig
from tools_service.errors import ConfigError, Forbidden
from tools_service.tools.build import opened
from tools_service.tools.guard import Guard
from tools_service.tools.providers.build import key
from tools_service.tools.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search providers obey the environment's proxies; a test stays on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def settings(**more: object) -> ToolsServiceConfig:
    return ToolsServiceConfig.model_validate(more)


async def names(config: ToolsServiceConfig) -> list[str]:
    async with opened(config, {"BRAVE_API_KEY": "k"}) as tools:
        return [tool.name for tool in tools]


async def test_by_default_nothing_that_reaches_outside_is_served() -> None:
    async with opened(ToolsServiceConfig(), {}) as tools:
        assert {tool.name for tool in tools} == {"search", "calculate"}
        assert not any(tool.annotations.open_world for tool in tools)


def test_the_default_imports_no_http_client_and_no_search_library() -> None:
    program = (
        "import asyncio, sys\n"
        "from tools_service.config import ToolsServiceConfig\n"
        "from tools_service.tools.build import opened\n"
        "async def main():\n"
        "    async with opened(ToolsServiceConfig(), {}): pass\n"
        "asyncio.run(main())\n"
        "heavy = {'aiohttp', 'httpx', 'tavily', 'ddgs', 'primp', 'lxml', 'numpy'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("listed", [["fetch"], ["calculate", "extract"], []])
async def test_exactly_the_listed_tools_are_served(listed: list[str]) -> None:
    assert sorted(await names(settings(tools=listed))) == listed


@pytest.mark.parametrize(
    "search",
    [
        {"provider": "tavily"},
        {"provider": "searxng", "url": "http://127.0.0.1:1"},
        {"provider": "brave"},
        {"provider": "duckduckgo"},
    ],
)
async def test_every_provider_can_be_configured(search: dict[str, str]) -> None:
    assert await names(settings(tools=["search"], search=search)) == ["search"]


@pytest.mark.parametrize(
    "search",
    [
        {"provider": "google"},
        {"provider": "searxng"},
        {"provider": "local", "url": "http://127.0.0.1"},
        {"provider": "tavily", "url": "file:///x"},
        {"provider": "tavily", "url": "https://user:pass@tavily.example"},
        {"provider": "tavily", "key": "tvly-in-a-file"},
        {"timeout_s": 0},
    ],
)
def test_settings_that_cannot_work_stop_the_start(search: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings(search=search)


def test_an_unknown_tool_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="'calculate', 'extract', 'fetch', 'python'"):
        settings(tools=["browse"])


def test_a_key_comes_from_the_variable_that_is_named() -> None:
    environ = {"TAVILY_API_KEY": "a", "BRAVE_API_KEY": "b", "OURS": "c"}
    assert key(SearchConfig(provider="tavily"), environ) == "a"
    assert key(SearchConfig(provider="brave"), environ) == "b"
    assert key(SearchConfig(provider="brave", key_env="OURS"), environ) == "c"
    assert key(SearchConfig(provider="tavily", key_env="NONE"), environ) == ""
    assert key(SearchConfig(), environ) == ""


async def test_brave_without_a_key_says_which_variable_to_set() -> None:
    config = settings(search={"provider": "brave"})
    with pytest.raises(ConfigError, match="set BRAVE_API_KEY in the environment"):
        async with opened(config, {}):
            pass


@pytest.mark.parametrize(
    ("provider", "package", "remedy"),
    [
        ("tavily", "tavily", "-m pip install tavily-python"),
        ("duckduckgo", "ddgs", "-m pip install ddgs"),
    ],
)
def test_a_missing_package_ends_the_start_with_its_remedy(
    tmp_path: Path, provider: str, package: str, remedy: str
) -> None:
    file = tmp_path / "house.json"
    file.write_text(json.dumps({"tools_service": {"port": 0, "search": {"provider": provider}}}))
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from tools_service.__main__ import main\n"
        f"sys.exit(main(['--config', {str(file)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 2
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_configured_tavily_is_asked_with_the_key_of_the_environment() -> None:
    fake = FakeTavily()
    async with serving(fake.handle) as url:
        config = settings(tools=["search"], search={"provider": "tavily", "url": url})
        async with opened(config, {"TAVILY_API_KEY": "tvly-ours"}) as (search,):
            output = await search.run({"query": "cats", "topic": "finance"}, NOBODY)
    assert json.loads(output.text)["results"][0]["title"] == "About cats"
    assert fake.headers[0]["authorization"] == "Bearer tvly-ours"
    assert fake.bodies[0]["topic"] == "finance"


async def test_a_configured_searxng_may_be_inside_but_pages_may_not() -> None:
    """The operator chose the one address; anybody may have written the other."""
    found = {"url": "http://127.0.0.1:9/", "title": "A", "content": "a"}
    async with serving(Api({"results": [found]}).handle) as url:
        config = settings(tools=["search"], search={"provider": "searxng", "url": url})
        async with opened(config, {}) as (search,):
            asked = {"query": "cats", "include_raw_content": True}
            results = json.loads((await search.run(asked, NOBODY)).text)["results"]
    assert results == [{"title": "A", "url": "http://127.0.0.1:9/", "content": "a"}]


async def test_a_guard_handed_in_stands_in_for_the_strict_one() -> None:
    async with serving(Api({"a": 1}).handle) as url:
        config = settings(tools=["fetch"])
        async with opened(config, {}, Guard(ports=None, inside=LOOPBACK)) as (fetch,):
            assert (await fetch.run({"url": url}, NOBODY)).text == '{"a": 1}'
        async with opened(config, {}) as (fetch,):
            with pytest.raises(Forbidden):
                await fetch.run({"url": url}, NOBODY)


def test_the_served_order_is_that_of_the_names() -> None:
    """Whatever the order of the setting: a model's prefix cache depends on it."""

    async def listed(*tools: str) -> list[str]:
        async with opened(settings(tools=tools), {}) as served:
            return [tool.name for tool in Registry(served)]

    assert asyncio.run(listed("search", "calculate")) == asyncio.run(listed("calculate", "search"))


async def test_the_process_says_what_is_wrong_with_its_search_settings(tmp_path: Path) -> None:
    async with asyncio.timeout(240):
        refused = await start(tmp_path, {"search": {"provider": "searxng"}})
        _, log = await refused.child.communicate()
    assert refused.child.returncode == 2
    assert b"needs url" in log


@pytest.mark.parametrize(
    "search", [{"url": "https://me:THESECRET@x.example"}, {"key": "tvly-THESECRETTHESECRET"}]
)
async def test_the_process_does_not_log_a_secret_put_where_it_does_not_belong(
    tmp_path: Path, search: dict[str, str]
) -> None:
    async with asyncio.timeout(240):
        refused = await start(tmp_path, {"search": {"provider": "tavily", **search}})
        _, log = await refused.child.communicate()
    assert refused.child.returncode == 2
    assert b"search." in log
    assert b"THESECRET" not in log


async def test_the_process_serves_the_listed_tools(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(240),
        process(tmp_path, tools=["fetch", "extract", "calculate"]) as running,
        Client(f"{running.url}/mcp") as client,
    ):
        offers = (await client.list_tools()).tools
        refused = await client.call_tool("fetch", {"url": running.url + "/health"})
    assert [offer.name for offer in offers] == ["calculate", "extract", "fetch"]
    assert [offer.annotations and offer.annotations.open_world_hint for offer in offers] == [
        *(False, True, True)
    ]
    assert refused.is_error
