"""From the settings to upstreams that are kept connected."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError, NameTaken
from tools_service.metrics import UpstreamMetrics
from tools_service.tools.registry import Registry, owner
from tools_service.tools.upstream.link import Link
from tools_service.tools.upstream.offers import served_name
from tools_service.tools.upstream.pins import Pins, PinsFile
from tools_service.tools.upstream.session import connected
from tools_service.tools.upstream.shelf import Shelf

_LONGEST_END_S = 10.0  # more than the SDK gives a child to end


@asynccontextmanager
async def linked(
    config: ToolsServiceConfig,
    registry: Registry,
    metrics: UpstreamMetrics,
    environ: Mapping[str, str],
    stop: asyncio.Event,
) -> AsyncIterator[None]:
    """Keeps the upstreams' tools in the registry for as long as the block.

    It begins when each upstream has been tried once; one that is down keeps nobody waiting longer
    than its `connect_s`, and nobody at all once `stop` is set. Raises ConfigError.
    """
    if config.pins_path is None or not config.upstreams:
        yield
        return
    file = PinsFile(config.pins_path)
    links = _links(config, registry, metrics, environ, file)
    async with asyncio.TaskGroup() as tasks:
        keeping = [tasks.create_task(link.keep()) for link in links]
        try:
            await _first_tries(links, stop)
            yield
        finally:
            for link in links:
                link.stop()
            _, late = await asyncio.wait(keeping, timeout=_LONGEST_END_S)
            for task in late:
                task.cancel()


async def _first_tries(links: Sequence[Link], stop: asyncio.Event) -> None:
    async def hurry() -> None:
        await stop.wait()
        for link in links:
            link.stop()

    async with asyncio.TaskGroup() as tasks:
        hurrying = tasks.create_task(hurry())
        for link in links:
            await link.tried.wait()
        hurrying.cancel()


def _links(
    config: ToolsServiceConfig,
    registry: Registry,
    metrics: UpstreamMetrics,
    environ: Mapping[str, str],
    file: PinsFile,
) -> list[Link]:
    shelves = {name: Shelf(name, upstream, registry) for name, upstream in config.upstreams.items()}
    pins = {name: file.read(name) for name in shelves}
    _check_names(config, registry, shelves, pins)
    links: list[Link] = []
    for name, upstream in config.upstreams.items():
        _check_variables(name, upstream.variables, environ)
        connect = partial(connected, name, upstream, environ)
        link = Link(name, upstream, connect, shelves[name], file, metrics)
        # What was accepted before is there from the start, whether the upstream is or not.
        shelves[name].put(pins[name], None, link.call)
        links.append(link)
    return links


def _check_names(
    config: ToolsServiceConfig,
    registry: Registry,
    shelves: Mapping[str, Shelf],
    pins: Mapping[str, Pins],
) -> None:
    """Raises NameTaken for every clash that can be known before anybody is asked."""
    owners = {tool.name: owner(tool.upstream) for tool in registry}
    for name, shelf in shelves.items():
        listed = config.upstreams[name].tools
        known = {tool for tool in pins[name].accepted if shelf.allows(tool)}
        for tool in sorted(known if listed == "all" else known.union(listed)):
            served = served_name(shelf.prefix, tool)
            if served in owners:
                raise NameTaken(served, owners[served], owner(name))
            owners[served] = owner(name)


def _check_variables(name: str, variables: Iterable[str], environ: Mapping[str, str]) -> None:
    missing = [variable for variable in variables if not environ.get(variable)]
    if missing:
        raise ConfigError(f"upstream {name} needs {', '.join(missing)} in the environment")


def secrets(config: ToolsServiceConfig, environ: Mapping[str, str]) -> list[str]:
    """What must never be written down: whatever the settings hand to an upstream."""
    return [
        environ[variable]
        for upstream in config.upstreams.values()
        for variable in upstream.variables
        if variable in environ
    ]
