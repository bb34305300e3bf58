"""From the settings to the tools that are served."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tools_service.config import FetchConfig, ToolsServiceConfig
from tools_service.tools.calculate import Calculate
from tools_service.tools.corpus import passages
from tools_service.tools.extract import Extract
from tools_service.tools.fetch import Fetch
from tools_service.tools.guard import Guard
from tools_service.tools.own import load
from tools_service.tools.providers import build as providers
from tools_service.tools.reader import Reader
from tools_service.tools.registry import Tool
from tools_service.tools.search import Search

DEMO_CORPUS = Path(__file__).parents[1] / "corpus"


@asynccontextmanager
async def opened(
    config: ToolsServiceConfig, environ: Mapping[str, str], guard: Guard | None = None
) -> AsyncIterator[list[Tool]]:
    """The built-in tools of `config.tools` and one's own, for as long as the block.

    `guard` stands in for the one that lets the public internet through. Raises ConfigError.
    """
    wanted = set(config.tools)
    tools: list[Tool] = [Calculate()] if "calculate" in wanted else []
    reader = _reader(config.fetch, guard) if _reads(config) else None
    async with AsyncExitStack() as stack:
        if wanted & {"search", "extract"}:
            means = providers.Means(passages(config.corpus or DEMO_CORPUS), reader, environ)
            provider = await stack.enter_async_context(providers.connected(config.search, means))
            if "search" in wanted:
                tools.append(Search(provider))
            if "extract" in wanted:
                tools.append(Extract(provider))
        if "fetch" in wanted and reader is not None:
            tools.append(Fetch(reader))
        tools += load(config.own)
        if "retrieve" in wanted:
            # Here, as with the reader below: only who lists a tool pays for what it imports.
            from tools_service.tools.retrieval.build import retrieve

            tools.append(await stack.enter_async_context(retrieve(config.retrieval, environ)))
        if "python" in wanted:
            from tools_service.tools.python.build import python

            tools.append(await stack.enter_async_context(python(config.python)))
        yield tools


def _reads(config: ToolsServiceConfig) -> bool:
    """Some tool may read pages from the web."""
    return bool({"fetch", "extract"} & set(config.tools)) or config.search.provider != "local"


def _reader(config: FetchConfig, guard: Guard | None) -> Reader:
    # Only here: a service that reads no pages needs no HTTP client.
    from tools_service.tools.download import Downloader, Limits

    limits = Limits(config.size, config.redirects, config.timeout_s)
    downloader = Downloader(guard or Guard(ports=frozenset(config.ports)), limits)
    return Reader(downloader.get, config.text_chars)
