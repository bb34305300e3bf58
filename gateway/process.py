"""The life of the gateway's process: configuration, server, signals, orderly end."""

import argparse
import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import uvicorn
import yaml
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from engine.build import build
from engine.config import EngineConfig
from engine.errors import StartFailed
from gateway.app import Gateway, create_app
from gateway.config import GatewayConfig
from telemetry.logs import configure

logger = logging.getLogger("gateway")

PARENT_STEP_S = 1.0
ANNOUNCE_STEP_S = 0.01
CLOSING_S = 2
GC_THRESHOLD = 50_000
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ProcessConfig(BaseModel):
    """What this process reads of the file; other processes read their own parts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    gateway: GatewayConfig = GatewayConfig()
    engines: tuple[EngineConfig, ...]


def run() -> int:
    """Serve until told to stop; the process's exit status."""
    configure("human")
    parser = argparse.ArgumentParser(prog="python -m gateway")
    parser.add_argument("--config", type=Path, required=True, help="YAML or JSON")
    try:
        config = read(parser.parse_args().config)
        configure(config.gateway.log.format)
        return uvloop_run(config)
    except (StartFailed, ValueError, OSError) as error:
        logger.error("%s", error)
        return 1


def read(path: Path) -> ProcessConfig:
    """Read the file and the secrets in the environment. Raises ValueError and OSError."""
    try:
        loaded = yaml.safe_load(path.read_text())
        config = ProcessConfig.model_validate(loaded)
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path}: {error}") from error
    names = [engine.name for engine in config.engines]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{path}: engines must be at least one, with names of their own")
    _check_spares(path, config)
    keys = [key for key in os.environ.get("ROUNDHOUSE_API_KEYS", "").split(",") if key.strip()]
    api_keys = (*config.gateway.api_keys, *(SecretStr(key.strip()) for key in keys))
    secrets: dict[str, object] = {"api_keys": api_keys}
    if admin_key := os.environ.get("ROUNDHOUSE_ADMIN_KEY", "").strip():
        secrets["admin_key"] = SecretStr(admin_key)
    if password := os.environ.get("ROUNDHOUSE_REDIS_PASSWORD", "").strip():
        store = config.gateway.store.model_copy(update={"password": SecretStr(password)})
        secrets["store"] = store
    gateway = config.gateway.model_copy(update=secrets)
    return config.model_copy(update={"gateway": gateway})


def _check_spares(path: Path, config: ProcessConfig) -> None:
    """A spare that could never sleep is a mistake. Raises ValueError."""
    least = config.gateway.spares.awake
    for spare in config.engines:
        alike = [engine for engine in config.engines if engine.model_name == spare.model_name]
        if spare.spare and len(alike) <= least:
            raise ValueError(
                f"{path}: engine '{spare.name}' is a spare that can never sleep: engines "
                f"that serve '{spare.model_name}': {len(alike)}, gateway.spares.awake: {least}; "
                "give another engine the same served_name"
            )


def uvloop_run(config: ProcessConfig) -> int:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:  # not on every platform
        return asyncio.run(serve(config))
    return int(uvloop.run(serve(config)))


async def serve(config: ProcessConfig) -> int:
    """Start, serve, stop; 1 when every engine died."""
    if config.gateway.host not in LOOPBACK and not config.gateway.api_keys:
        logger.warning("serving %s without API keys: set ROUNDHOUSE_API_KEYS", config.gateway.host)
    engines = [build(engine) for engine in config.engines]
    gateway = Gateway(config.gateway, engines, os.environ.get("ROUNDHOUSE_TOOLS_TOKEN"))
    server = Server(gateway)
    try:
        await server.run()
    except* StartFailed as failures:
        raise failures.exceptions[0] from None
    if all(engine.died.is_set() for engine in engines):
        logger.error("every engine has died")
        return 1
    return 0


class Server:
    """uvicorn around the gateway, which stops before the sockets do."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._started = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until a signal, the parent's end or the last engine's. Raises StartFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        async with self._gateway.running():
            self._started = True
            # What was loaded lives for ever: the collector need not look at it again. And a stream
            # makes hundreds of objects a millisecond, none of them in cycles: looking at every
            # 700th costs more than what it could ever find.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
            await self._serve()

    def _on_signal(self) -> None:
        self._stop.set()
        if not self._started:
            # A start can't be cancelled, but without its child processes it fails at once.
            logger.warning("stopped while the engines were starting")
            for child in psutil.Process().children(recursive=True):
                child.terminate()

    async def _serve(self) -> None:
        gateway = self._gateway.config
        config = create_app(self._gateway).served(
            host=gateway.host,
            port=gateway.port,
            log_config=None,  # its lines look like ours
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=CLOSING_S,
        )
        server = _Uvicorn(config)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve())
            watches = [
                group.create_task(self._watch_parent()),
                group.create_task(self._watch_engines()),
                group.create_task(_announce(server)),
            ]
            stopping = group.create_task(self._stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for watch in (*watches, stopping):
                watch.cancel()
            await self._gateway.stop()
            server.should_exit = True

    async def _watch_parent(self) -> None:
        """Stop when the process that started this one is gone without a word."""
        parent = os.environ.get("ROUNDHOUSE_PARENT_PID")
        if parent is None or parent != str(os.getppid()):
            return
        while parent == str(os.getppid()):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(PARENT_STEP_S)
        logger.warning("the parent process has gone: stopping")
        self._stop.set()

    async def _watch_engines(self) -> None:
        """A gateway without engines can only apologise: end, so that somebody restarts it."""
        for engine in self._gateway.engines:
            await engine.died.wait()
        self._stop.set()


async def _announce(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(ANNOUNCE_STEP_S)
    for listener in server.servers:
        for socket in listener.sockets:
            host, port = socket.getsockname()[:2]
            logger.info("gateway listening on http://%s:%d", host, port)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would close the sockets before the requests have ended."""
        yield
