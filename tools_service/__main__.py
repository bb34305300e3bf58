"""`python -m tools_service --config FILE`: settings, signals and the exit status."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from uvicorn.loops.auto import auto_loop_factory

from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.parent import watch
from tools_service.redact import RedactingFormatter
from tools_service.service import assemble, listen, serve, url
from tools_service.tools import build
from tools_service.tools.providers.build import key

logger = logging.getLogger("tools_service")

TOKEN_VARIABLE = "ROUNDHOUSE_TOOLS_TOKEN"
REDIS_VARIABLE = "ROUNDHOUSE_REDIS_PASSWORD"
# They log every request, with the words that were searched for.
CHATTY = ("httpx", "httpcore", "primp", "ddgs")


def load(path: Path, environ: Mapping[str, str]) -> ToolsServiceConfig:
    """The settings under `tools_service`, the token from the environment. Raises ConfigError."""
    try:
        whole = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    section = whole.get("tools_service") if isinstance(whole, dict) else None
    if section is None:
        section = {}
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: tools_service must be a mapping")
    if environ.get(TOKEN_VARIABLE):
        section = {**section, "token": environ[TOKEN_VARIABLE]}
    if environ.get(REDIS_VARIABLE) and isinstance(section.get("redis"), dict):
        section = {**section, "redis": {**section["redis"], "password": environ[REDIS_VARIABLE]}}
    try:
        config = ToolsServiceConfig.model_validate(section)
    except ValidationError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    config.check_door()
    if config.corpus is not None and not config.corpus.is_dir():
        raise ConfigError(f"{path}: the corpus {config.corpus} is not a folder")
    return config


async def run(config: ToolsServiceConfig) -> None:
    """The whole life of the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with build.opened(config, os.environ) as served:
        with listen(config) as sock:
            parts = assemble(config, served, CollectorRegistry())
            where = url(config, sock)
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(watch(os.environ, stop))
                ready = partial(logger.info, "tools service listening on %s", where)
                await serve(parts, sock, stop, ready)
                watching.cancel()


def log(secrets: Iterable[str]) -> None:
    """Everything to stderr, without these secrets and whatever else looks like one."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", secrets)
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after a signal, 2 when the settings are no good."""
    parser = argparse.ArgumentParser(prog="python -m tools_service", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    log(())
    try:
        config = load(options.config, os.environ)
        log((config.secret, os.environ.get(REDIS_VARIABLE, ""), key(config.search, os.environ)))
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(run(config))
    except ConfigError as exc:
        logger.error("%s", exc)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
