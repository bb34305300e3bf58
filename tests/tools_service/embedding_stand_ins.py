"""A server that speaks `/v1/embeddings`, with vectors made of hashed n-grams, and what uses it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from aiohttp import web

from tests.tools_service.web_stand_ins import NOBODY
from tools_service.retrieval_config import RetrievalConfig
from tools_service.tools.registry import Arguments
from tools_service.tools.retrieval import build, index
from tools_service.tools.retrieval.ingest import Ingest, Step
from tools_service.tools.retrieval.survey import survey
from tools_service.tools.retrieval.tool import Retrieve

SIZE = 64


def vector(text: str) -> list[float]:
    """Texts that share letters in a row are near each other: enough to test with."""
    row = [0.0] * SIZE
    padded = f"  {text.lower()}  "
    for start in range(len(padded) - 2):
        row[crc32(padded[start : start + 3].encode()) % SIZE] += 1.0
    return row


@dataclass
class Embeddings:
    """The server. Before it answers well it answers each of `refusals`: status and headers."""

    refusals: list[tuple[int, Mapping[str, str]]] = field(default_factory=list)
    answer: object = None
    """Said instead of vectors, if it is anything."""
    gate: asyncio.Event | None = None
    """Answers wait for it."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/embeddings"
        body = json.loads(await request.read())
        self.keys.append(request.headers.get("authorization", ""))
        self.batches.append(body["input"])
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.Response(status=status, headers=headers)
        if self.answer is not None:
            return web.json_response(self.answer)
        data = [{"index": i, "embedding": vector(text)} for i, text in enumerate(body["input"])]
        return web.json_response({"data": data[::-1], "model": body["model"]})


async def ingest(config: RetrievalConfig, folder: Path) -> list[Step]:
    """What `ingest` does, without its command."""
    async with build.embedder(config.embedder, {}) as embedder:
        with (
            build.stored(config.store, {}) as vectors,
            index.opened(config.index, create=True) as opened,
        ):
            writing = Ingest(config, opened, embedder, vectors(opened.connection))
            return [step async for step in writing.run(survey(folder, config.file_bytes))]


@asynccontextmanager
async def retrieving(config: RetrievalConfig) -> AsyncIterator[Retrieve]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(build.retrieve(config, {}))


async def results(tool: Retrieve, **arguments: object) -> list[dict[str, object]]:
    asked: Arguments = arguments
    found = json.loads((await tool.run(asked, NOBODY)).text)["results"]
    assert isinstance(found, list)
    return found


async def urls(tool: Retrieve, **arguments: object) -> list[object]:
    return [result["url"] for result in await results(tool, **arguments)]


def write(folder: Path, **files: str) -> Path:
    """The folder, with these files (`__` in a name is a slash, `_` before the suffix a dot)."""
    for name, text in files.items():
        path = folder / ".".join(name.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def clear(folder: Path, pattern: str) -> None:
    """Removes the files below a folder."""
    for path in folder.rglob(pattern):
        path.unlink()
