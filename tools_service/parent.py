"""The process that started this one, and whether it is still there."""

import asyncio
import logging
import os
from collections.abc import Mapping

logger = logging.getLogger(__name__)

PARENT_VARIABLE = "ROUNDHOUSE_PARENT_PID"
STEP_S = 1.0


async def watch(environ: Mapping[str, str], stop: asyncio.Event) -> None:
    """Set `stop` once the parent named in the environment has gone without a word."""
    named = environ.get(PARENT_VARIABLE)
    if named is None or named != str(os.getppid()):
        return
    while named == str(os.getppid()):  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(STEP_S)
    logger.warning("the parent process has gone: stopping")
    stop.set()
