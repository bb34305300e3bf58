"""Where vectors lie and how the nearest are found; in the index file by default."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tools_service.tools.retrieval.embedder import Matrix

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Vectors:
    """The vectors of one document's chunks: a row for each id."""

    space: str
    url: str
    ids: Sequence[int]
    rows: Matrix

    @property
    def folders(self) -> list[str]:
        """The folders the document is in, innermost last."""
        *parts, _ = self.url.split("/")
        return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


class VectorStore(Protocol):
    """Blocks, so it is called in threads. Ids nobody knows any more may still be found.

    Raises ToolFailed when a server is away.
    """

    def put(self, vectors: Vectors) -> None:
        """Adds them, or replaces those of the same ids."""
        ...

    def forget(self, space: str, ids: Sequence[int]) -> None:
        """These are gone."""
        ...

    def nearest(self, space: str, vector: Matrix, limit: int, folder: str | None) -> list[int]:
        """The ids nearest to one vector, best first; only below `folder`, if there is one."""
        ...


class InFile:
    """Vectors as rows of the index: exact, and part of its transactions.

    Every search reads all of them: some 30 ms for 20,000 chunks of 256 numbers.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, vectors: Vectors) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO vectors (chunk, space, vector) VALUES (?, ?, ?)",
            (
                (one, vectors.space, row.tobytes())
                for one, row in zip(vectors.ids, vectors.rows, strict=True)
            ),
        )

    def forget(self, space: str, ids: Sequence[int]) -> None:
        """They have gone with their chunks."""

    def nearest(self, space: str, vector: Matrix, limit: int, folder: str | None) -> list[int]:
        found = self._connection.execute(_NEAREST, (space, vector.nbytes, folder, folder, folder))
        ids = np.empty(0, np.int64)
        scores = np.empty(0, np.float32)
        while block := found.fetchmany(_BLOCK):
            rows = np.frombuffer(b"".join(blob for _, blob in block), np.float32)
            ids = np.append(ids, np.array([one for one, _ in block], np.int64))
            scores = np.append(scores, rows.reshape(len(block), -1) @ vector)
            if len(ids) > limit:
                best = np.argpartition(-scores, limit - 1)[:limit]
                ids, scores = ids[best], scores[best]
        # Equal scores in the order of the ids, so that every run ranks them alike.
        return [int(one) for one in ids[np.lexsort((ids, -scores))]]


_NEAREST = """
    SELECT chunk, vector FROM vectors
    WHERE space = ? AND length(vector) = ? AND (
        ? IS NULL OR chunk IN (
            SELECT chunks.id FROM chunks JOIN documents ON documents.id = chunks.document
            WHERE substr(documents.url, 1, length(?) + 1) = ? || '/'
        )
    )
"""
