"""From a provider's name in the settings to the provider."""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tools_service.config import SearchConfig
from tools_service.errors import ConfigError
from tools_service.tools.corpus import Passage
from tools_service.tools.providers.provider import PageReader, SearchProvider

KEYS = {"tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY"}


@dataclass(frozen=True, slots=True)
class Means:
    """What providers are made of, each taking what it needs."""

    passages: Iterable[Passage]
    reader: PageReader | None
    environ: Mapping[str, str]


def key(config: SearchConfig, environ: Mapping[str, str]) -> str:
    """The provider's key from the environment, empty if there is none."""
    return environ.get(config.key_env or KEYS.get(config.provider, ""), "")


@asynccontextmanager
async def connected(config: SearchConfig, means: Means) -> AsyncIterator[SearchProvider]:
    """The configured provider, for as long as the block. Raises ConfigError."""
    if config.provider == "local":
        # Each is imported only where it is configured: most need a library that is optional.
        from tools_service.tools.providers.local import Local

        with Local(means.passages, means.reader) as local:
            yield local
    elif config.provider == "tavily":
        async with _tavily(config, key(config, means.environ)) as provider:
            yield provider
    else:
        async with _engine(config, means) as provider:
            yield provider


@asynccontextmanager
async def _tavily(config: SearchConfig, secret: str) -> AsyncIterator[SearchProvider]:
    try:
        from tools_service.tools.providers import tavily
    except ImportError as exc:
        raise _missing("tavily", "tavily-python") from exc
    url = config.url or tavily.URL
    async with tavily.connected(url, secret, config.timeout_s) as provider:
        yield provider


@asynccontextmanager
async def _engine(config: SearchConfig, means: Means) -> AsyncIterator[SearchProvider]:
    from tools_service.tools.providers.web import WebProvider

    assert means.reader is not None
    if config.provider == "duckduckgo":
        try:
            from tools_service.tools.providers import duckduckgo
        except ImportError as exc:
            raise _missing("duckduckgo", "ddgs") from exc
        engine = duckduckgo.DuckDuckGo(lambda: duckduckgo.library(config.timeout_s))
        try:
            yield WebProvider(engine, means.reader)
        finally:
            engine.close()
        return

    import aiohttp

    from tools_service.tools.providers import brave, searxng

    timeout = aiohttp.ClientTimeout(total=config.timeout_s)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
        if config.provider == "brave":
            url = config.url or brave.URL
            secret = _needed(config, means.environ)
            yield WebProvider(brave.Brave(http, url, secret), means.reader)
        else:
            yield WebProvider(searxng.Searxng(http, config.url or ""), means.reader)


def _needed(config: SearchConfig, environ: Mapping[str, str]) -> str:
    found = key(config, environ)
    if not found:
        name = config.key_env or KEYS[config.provider]
        raise ConfigError(
            f"search.provider {config.provider} needs a key: set {name} in the environment"
        )
    return found


def _missing(provider: str, package: str) -> ConfigError:
    return ConfigError(
        f"search.provider {provider} needs {package}, which is not installed: "
        f"{sys.executable} -m pip install {package}"
    )
