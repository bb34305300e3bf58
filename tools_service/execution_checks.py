"""Settings of execution that would be ignored, and so stop the start."""

from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.tools.registry import Registry, Tool


def check(config: ToolsServiceConfig, registry: Registry) -> None:
    """Raises ConfigError. A tool that is configured but not served is nobody's mistake."""
    for tool in registry:
        _check(config, tool)


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
