"""A real Prometheus on a port of the system's choice, with the configuration we ship."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus" / "prometheus.yml"
LISTENING = re.compile(r'msg="Listening on" address=(\S+)')


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API. Fails with its own words, for a bad query too."""
        async with self.http.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            said = await answer.json()
        assert said["status"] == "success", said["error"]
        return said["data"]

    async def values(self, query: str) -> list[float]:
        """What a query gives now, a number for each series."""
        found = (await self.get("query", query=query))["result"]
        return [float(series["value"][1]) for series in found]

    async def targets(self) -> dict[str, str]:
        """Where each job listens."""
        targets = (await self.get("targets"))["activeTargets"]
        return {
            target["labels"]["job"]: target["scrapeUrl"].removesuffix("/metrics")
            for target in targets
        }

    async def until(self, query: str) -> None:
        """Return when a query gives something; nobody tells when it does."""
        async with asyncio.timeout(60):
            while not await self.values(query):  # noqa: ASYNC110  # it can only be asked
                await asyncio.sleep(0.1)


def quick(targets: Mapping[str, str]) -> dict[str, Any]:
    """What we ship, looking every second, at these targets by their jobs."""
    config = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(SHIPPED.parent / files) for files in config["rule_files"]]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    return dict(config)


@asynccontextmanager
async def prometheus(folder: Path, targets: Mapping[str, str]) -> AsyncGenerator[Prometheus]:
    """Start it on these targets, `host:port` by job; its data lies in the folder."""
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(quick(targets)))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
        cwd=folder,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            url = await _listening(process.stderr)
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as http:
            draining = tasks.create_task(process.stderr.read())
            yield Prometheus(url, http)
            process.terminate()
            await draining
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(log: asyncio.StreamReader) -> str:
    said = []
    async for line in log:
        said.append(line.decode())
        if found := LISTENING.search(said[-1]):
            return f"http://{found[1]}"
    raise AssertionError(f"Prometheus ended while it started: {''.join(said)}")
