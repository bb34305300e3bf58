"""Settings of execution that would be ignored, and so stop the start."""

from collections.abc import Iterator
from typing import get_args

from tools_service.config import ProviderName, ToolName, ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.tenants import EVERY_TOOL
from tools_service.tools.registry import Registry, Tool
from tools_service.tools.upstream.offers import prefix, served_name

_SERVICES = frozenset((*get_args(ProviderName), "embeddings")) - {"local"}


def check(config: ToolsServiceConfig, registry: Registry) -> None:
    """Raises ConfigError.

    What is configured but not served is nobody's mistake; what can never be served is.
    """
    _check_tools(config, registry)
    _check_upstreams(config, registry)
    for tool in registry:
        _check(config, tool)


def _check_tools(config: ToolsServiceConfig, registry: Registry) -> None:
    known = {*get_args(ToolName), *(tool.name for tool in registry)}
    for where, name in _named(config):
        if name not in known and not _may_come(config, name):
            raise ConfigError(f"{where}: there is no tool {name!r}, nor can one come")


def _named(config: ToolsServiceConfig) -> Iterator[tuple[str, str]]:
    """(the setting, the tool it names) of all that name one."""
    yield from (("tools_service.per_tool", name) for name in config.per_tool)
    for tenant, tools in config.tenants.items():
        where = f"tools_service.tenants.{tenant}"
        yield from ((where, name) for name in tools if name != EVERY_TOOL)


def _may_come(config: ToolsServiceConfig, name: str) -> bool:
    """An upstream may offer it, now or later."""
    for upstream, about in config.upstreams.items():
        front = prefix(upstream, about)
        if about.tools == "all" and name.startswith(front):
            return True
        if name in {served_name(front, tool) for tool in about.tools}:
            return True
    return False


def _check_upstreams(config: ToolsServiceConfig, registry: Registry) -> None:
    known = {*_SERVICES, *config.upstreams, *(tool.upstream for tool in registry)}
    for name in config.per_upstream:
        if name not in known:
            raise ConfigError(f"tools_service.per_upstream: there is no service {name!r}")


def _check(config: ToolsServiceConfig, tool: Tool) -> None:
    about, where = config.about(tool.name), f"tools_service.per_tool.{tool.name}"
    if not tool.annotations.read_only:
        for name, given in (("cache_s", about.cache_s is not None), ("public", about.public)):
            if given:
                raise ConfigError(f"{where}.{name}: only for tools that change nothing")
    upstream = config.per_upstream.get(tool.upstream or "")
    if about.slots and upstream and upstream.slots:
        raise ConfigError(
            f"{where}.slots: its upstream {tool.upstream} has slots, too; "
            "a call is counted against one of them only, so set one"
        )
