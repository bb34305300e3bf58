"""Vectors in Qdrant, for corpora too large to read at every search."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ApiException
from qdrant_client.models import (
    Distance,
    FieldCondition,
    Filter,
    MatchValue,
    PayloadSchemaType,
    PointIdsList,
    PointStruct,
    VectorParams,
)

from tools_service.errors import ConfigError, ToolFailed
from tools_service.retrieval_config import StoreConfig
from tools_service.tools.retrieval.embedder import Matrix
from tools_service.tools.retrieval.vectors import Vectors

_AT_ONCE = 256
_TIMEOUT_S = 30


class Qdrant:
    """One collection for each embedder: vectors of two are never compared."""

    def __init__(self, config: StoreConfig, key: str) -> None:
        """Raises ConfigError."""
        self._prefix = config.collection
        self._is_server = config.url is not None
        try:
            self._client = (
                QdrantClient(
                    url=config.url,
                    api_key=key or None,
                    timeout=_TIMEOUT_S,
                    check_compatibility=False,  # it would ask at once, in a thread, and only warn
                )
                if self._is_server
                else QdrantClient(path=str(config.path))
            )
        except (RuntimeError, OSError, ValueError) as exc:
            # A folder belongs to one process at a time.
            raise ConfigError(f"the Qdrant of retrieval.store cannot be opened: {exc}") from exc

    def close(self) -> None:
        self._client.close()

    def put(self, vectors: Vectors) -> None:
        collection = self._collection(vectors.space)
        with _translated():
            self._ensure(collection, vectors.rows.shape[1])
            points = [
                PointStruct(id=one, vector=row.tolist(), payload={"folders": vectors.folders})
                for one, row in zip(vectors.ids, vectors.rows, strict=True)
            ]
            for start in range(0, len(points), _AT_ONCE):
                self._client.upsert(collection, points[start : start + _AT_ONCE], wait=True)

    def forget(self, space: str, ids: Sequence[int]) -> None:
        collection = self._collection(space)
        with _translated():
            if ids and self._client.collection_exists(collection):
                self._client.delete(collection, PointIdsList(points=list(ids)), wait=True)

    def nearest(self, space: str, vector: Matrix, limit: int, folder: str | None) -> list[int]:
        collection = self._collection(space)
        below = FieldCondition(key="folders", match=MatchValue(value=folder)) if folder else None
        with _translated():
            if not self._client.collection_exists(collection):
                return []
            found = self._client.query_points(
                collection,
                query=vector.tolist(),
                query_filter=Filter(must=[below]) if below else None,
                limit=limit,
                with_payload=False,
            )
        return [int(point.id) for point in found.points]

    def _ensure(self, collection: str, size: int) -> None:
        if self._client.collection_exists(collection):
            return
        # The rows have length 1: their product is the cosine.
        params = VectorParams(size=size, distance=Distance.DOT)
        self._client.create_collection(collection, vectors_config=params)
        if self._is_server:  # the one inside a process has no indexes, and warns
            self._client.create_payload_index(collection, "folders", PayloadSchemaType.KEYWORD)

    def _collection(self, space: str) -> str:
        return f"{self._prefix}-{blake2b(space.encode(), digest_size=6).hexdigest()}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiException as exc:
        raise ToolFailed(f"Qdrant cannot be used ({type(exc).__name__})") from exc
