"""`python -m tools_service --config FILE [accept UPSTREAM | ingest FOLDER]`."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import yaml
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from uvicorn.loops.auto import auto_loop_factory

from telemetry.logs import configure
from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError
from tools_service.ingest import ingest
from tools_service.metrics import UpstreamMetrics
from tools_service.parent import watch
from tools_service.retrieval_config import keys
from tools_service.service import assemble, listen, serve, url
from tools_service.telemetry_config import LogConfig
from tools_service.tools import build
from tools_service.tools.providers.build import key
from tools_service.tools.upstream.build import linked, secrets
from tools_service.tools.upstream.pins import PinsFile

logger = logging.getLogger("tools_service")

TOKEN_VARIABLE = "ROUNDHOUSE_TOOLS_TOKEN"
REDIS_VARIABLE = "ROUNDHOUSE_REDIS_PASSWORD"
# They log every request, with the words that were searched for.
CHATTY = ("httpx", "httpx2", "httpcore", "primp", "ddgs")


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
            metrics = UpstreamMetrics(parts.prometheus)
            async with (
                linked(config, parts.registry, metrics, os.environ, stop),
                asyncio.TaskGroup() as tasks,
            ):
                watching = tasks.create_task(watch(os.environ, stop))
                ready = partial(logger.info, "tools service listening on %s", where)
                await serve(parts, sock, stop, ready)
                watching.cancel()


def accept(config: ToolsServiceConfig, upstream: str) -> None:
    """Accepts what the upstream has changed; a running service sees it within `refresh_s`.

    Raises ConfigError.
    """
    if config.pins_path is None or upstream not in config.upstreams:
        raise ConfigError(f"there is no upstream {upstream!r} in the settings")
    changes = PinsFile(config.pins_path).accept(upstream)
    for before, after in changes:
        for mark, offer in (("-", before), ("+", after)):
            if offer is not None:
                # As ASCII, so that nothing in it stays unseen.
                sys.stdout.write(f"{mark} {json.dumps(msgspec.to_builtins(offer))}\n")
    sys.stdout.write(f"{len(changes)} changes of {upstream} accepted\n")


def log(config: LogConfig, secrets: Iterable[str]) -> None:
    """Everything to stderr, without these secrets and whatever else looks like one."""
    configure(config.format, secrets)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def known_secrets(config: ToolsServiceConfig, environ: Mapping[str, str]) -> tuple[str, ...]:
    """All that must never be written down."""
    return (
        config.secret,
        environ.get(REDIS_VARIABLE, ""),
        key(config.search, environ),
        *keys(config.retrieval, environ),
        *secrets(config, environ),
    )


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after a signal, 2 when the settings are no good; `ingest` has its own."""
    parser = argparse.ArgumentParser(prog="python -m tools_service", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument("action", nargs="?", choices=("serve", "accept", "ingest"), default="serve")
    parser.add_argument("target", nargs="?", help="the upstream to accept, or the folder to ingest")
    options = parser.parse_intermixed_args(arguments)
    if (options.action == "serve") != (options.target is None):
        parser.error("accept needs the name of an upstream, ingest a folder, and nothing else one")
    log(LogConfig(), ())
    try:
        config = load(options.config, os.environ)
        if options.action == "accept":
            accept(config, options.target)
            return 0
        log(config.log, known_secrets(config, os.environ))
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            if options.action == "ingest":
                return runner.run(ingest(config.retrieval, Path(options.target), os.environ))
            runner.run(run(config))
    except ConfigError as exc:
        logger.error("%s", exc)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
