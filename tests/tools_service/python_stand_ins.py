"""The python tool in its sandboxes, with bounds a test can run into."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.tools_service.web_stand_ins import NOBODY
from tools_service.errors import ConfigError, ToolFailed
from tools_service.python_config import PythonConfig
from tools_service.tools.python.build import python
from tools_service.tools.python.tool import Python

MIB = 1024 * 1024
BOUNDS = {"timeout_s": 20, "memory_bytes": 128 * MIB, "output_chars": 2000}


def jail() -> dict[str, object]:
    """Settings of a jail that can be read by nobody, as whom it runs if the tests run as root."""
    system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    own = os.geteuid() != 0 or system is None
    return {"engine": "bubblewrap"} | ({} if own else {"interpreter": system})


@asynccontextmanager
async def sandbox(engine: str, **more: object) -> AsyncIterator[Python]:
    settings = BOUNDS | (jail() if engine == "bubblewrap" else {}) | more
    async with python(PythonConfig.model_validate(settings)) as tool:
        yield tool


async def skip_without_jail() -> None:
    """Skips a test where bubblewrap can't build its jail, with the reason."""
    try:
        async with sandbox("bubblewrap"):
            pass
    except ConfigError as exc:
        pytest.skip(f"no jail can be built on this machine: {exc}")


async def text(tool: Python, code: str) -> str:
    return (await tool.run({"code": code}, NOBODY)).text


async def failure(tool: Python, code: str) -> str:
    with pytest.raises(ToolFailed) as failed:
        await text(tool, code)
    return str(failed.value)
