"""The runtime table on disk: read at the start, written aside and renamed, so never half."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tools_service.errors import BadTable
from tools_service.runtimes import Table

logger = logging.getLogger(__name__)


def read(path: Path, table: Table) -> None:
    """Fills the table. A missing or damaged file is no reason not to start: it starts empty."""
    try:
        table.load(path.read_bytes())
    except FileNotFoundError:
        logger.info("runtime table %s does not exist yet", path)
    except (OSError, BadTable) as exc:
        logger.warning("runtime table %s is unreadable, starting empty: %s", path, exc)
    else:
        logger.info("runtime table of %d shapes read", len(table))


def write(path: Path, data: bytes) -> None:
    """Puts a dumped table in place of the old one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        os.unlink(aside)
        raise


async def save(path: Path, table: Table) -> None:
    """Writes the table in a thread. A full disk costs the memory, never the service."""
    try:
        await asyncio.to_thread(write, path, table.dump())
    except OSError as exc:
        logger.error("runtime table %s not saved: %s", path, exc)


async def keep(path: Path, table: Table, tick: Callable[[], Awaitable[None]]) -> None:
    """Saves after every tick, until cancelled."""
    while True:
        await tick()
        await save(path, table)
