"""From a folder to the index: what is new, what has changed, what has gone."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Literal

from tools_service.errors import IndexBusy, NotText, Unreadable
from tools_service.retrieval_config import RetrievalConfig
from tools_service.tools.retrieval import documents
from tools_service.tools.retrieval.documents import Chunk
from tools_service.tools.retrieval.embedder import Embedder, Matrix
from tools_service.tools.retrieval.index import Document, Index
from tools_service.tools.retrieval.survey import Survey, read
from tools_service.tools.retrieval.vectors import Vectors, VectorStore

Change = Literal["new", "changed", "unchanged", "removed", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one document; `why` it failed or was left out."""

    path: str
    change: Change
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ingest:
    """Brings an index up to date with folders. Cancelling it between steps loses nothing.

    A document is one transaction: either its old version is found or its new one. Vectors of a
    store outside are written before it ends and deleted after, so an interruption may leave
    vectors that belong to nobody, which no search returns.
    """

    config: RetrievalConfig
    index: Index
    embedder: Embedder | None
    vectors: VectorStore

    async def run(self, survey: Survey) -> AsyncIterator[Step]:
        """One step for each document. Raises ToolFailed when the embedder or the store is away."""
        for path in survey.files:
            await asyncio.sleep(0)  # here, at the latest, it is cancelled
            yield await self._take(survey.root, path)
        present = set(survey.files)
        for path in self.index.paths(str(survey.root)):
            if path not in present and not survey.may_hold(path):
                await asyncio.sleep(0)
                self._write(survey.root, path, None)
                yield Step(path, "removed")

    async def _take(self, root: Path, path: str) -> Step:
        old = self.index.digest(str(root), path)
        try:
            body = read(root / path, self.config.file_bytes)
            digest = self._digest(body)
            if digest == old:
                return Step(path, "unchanged")
            chunks = self._chunks(path, body)
        except NotText as exc:
            self._write(root, path, None)
            return Step(path, "skipped", str(exc))
        except Unreadable as exc:
            return Step(path, "failed", str(exc))
        rows = await self._embed(chunks)
        document = Document(str(root), path, f"{root.name}/{path}", digest, self._space)
        self._write(root, path, _Made(document, chunks, rows))
        return Step(path, "new" if old is None else "changed")

    def _chunks(self, path: str, body: bytes) -> list[Chunk]:
        config = self.config
        cut = documents.chunks(PurePosixPath(path), body, config.chunk_chars, config.overlap_chars)
        return list(cut)

    async def _embed(self, chunks: Sequence[Chunk]) -> Matrix | None:
        if self.embedder is None or not chunks:
            return None
        return await self.embedder.embed([f"{one.title}\n{one.content}" for one in chunks])

    def _write(self, root: Path, path: str, made: "_Made | None") -> None:
        """Puts a document in the place of its old version; None only takes that out."""
        with self.index.changing():
            old = self.index.remove(str(root), path)
            if made is not None:
                ids = self.index.add(made.document, made.chunks)
                if made.rows is not None:
                    vectors = Vectors(made.document.space, made.document.url, ids, made.rows)
                    self.vectors.put(vectors)
        if old.space and old.ids:
            self.vectors.forget(old.space, old.ids)

    @property
    def _space(self) -> str:
        return self.embedder.space if self.embedder else ""

    def _digest(self, body: bytes) -> str:
        """Of all that decides what is written for a document with these bytes."""
        config = self.config
        store = config.store
        made_by = (documents.VERSION, config.chunk_chars, config.overlap_chars, self._space)
        where = (store.kind, store.url, str(store.path), store.collection)
        return blake2b(repr((made_by, where)).encode() + body, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class _Made:
    document: Document
    chunks: Sequence[Chunk]
    rows: Matrix | None


@contextmanager
def alone(index: Path) -> Iterator[None]:
    """The only ingest into this index, in all processes. Raises IndexBusy."""
    index.parent.mkdir(parents=True, exist_ok=True)
    with index.with_name(f"{index.name}.lock").open("w") as file:
        try:
            # Given back by the kernel, however the process ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexBusy(index) from None
        yield
