"""From the settings to the python tool."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tools_service.errors import ConfigError
from tools_service.python_config import PythonConfig
from tools_service.tools.python.tool import Python


@asynccontextmanager
async def python(config: PythonConfig) -> AsyncIterator[Python]:
    """The tool, for as long as the block. Raises ConfigError."""
    if config.engine == "bubblewrap":
        from tools_service.tools.python.bubblewrap import Bubblewrap

        jail = Bubblewrap(config)
        await jail.check()
        yield Python(jail)
        return
    try:
        # Only where it is the engine: the package is optional.
        from tools_service.tools.python.monty import monty
    except ImportError as exc:
        raise ConfigError(
            "the python tool needs pydantic-monty, which is not installed: "
            f"{sys.executable} -m pip install pydantic-monty"
        ) from exc
    async with monty(config) as engine:
        yield Python(engine)
