"""The retrieve tool: the passages of ingested documents that answer a query best."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from sqlite3 import Connection

from tools_service.errors import BadIndex, ToolFailed
from tools_service.tools.clean import strip
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema
from tools_service.tools.retrieval import index
from tools_service.tools.retrieval.embedder import Embedder, Matrix
from tools_service.tools.retrieval.fusion import fuse
from tools_service.tools.retrieval.vectors import VectorStore
from tools_service.tools.terms import terms

logger = logging.getLogger(__name__)

VectorsOf = Callable[[Connection], VectorStore]

_CANDIDATES = 60
"""Of each ranking: what is in both wins, so each must be longer than the answer."""

_INPUT: Schema = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1000,
            "description": "what to look for, in words the documents may use",
        },
        "max_results": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
        "folder": {
            "type": "string",
            "minLength": 1,
            "maxLength": 500,
            "description": "only documents below this folder, as their urls begin",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}


class Retrieve:
    """`retrieve(query, max_results, folder)` answers {"results": [{title, url, content, score}]}.

    Closed-world even where a server makes the query's vector: what is returned is the operator's
    own. The file is opened anew for each query, so that an ingest, or another file in its place,
    is seen by the next one.
    """

    name = "retrieve"
    description = (
        "Find passages in the ingested documents, by meaning and by words, and return the best, "
        "each with its title, its url and a score. Use it before answering from memory."
    )
    input_schema: Schema = _INPUT
    output_schema: Schema | None = None
    annotations = Annotations(read_only=True, idempotent=True, open_world=False)

    def __init__(self, path: Path, embedder: Embedder | None, vectors: VectorsOf) -> None:
        self.upstream = embedder.upstream if embedder else None
        self._path = path
        self._embedder = embedder
        self._vectors = vectors

    def shape(self, arguments: Arguments) -> str:
        return f"terms:{min(len(terms(str(arguments['query']))), 8)}"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        query = str(arguments["query"])
        limit = int(str(arguments.get("max_results", 5)).removesuffix(".0"))
        folder = str(arguments["folder"]).strip("/") if "folder" in arguments else None
        vector = (await self._embedder.embed([query]))[0] if self._embedder else None
        results = await asyncio.to_thread(self._find, query, vector, limit, folder)
        return Output(json.dumps({"results": results}, ensure_ascii=False))

    def _find(
        self, query: str, vector: Matrix | None, limit: int, folder: str | None
    ) -> list[Mapping[str, object]]:
        try:
            with index.opened(self._path) as opened:
                rankings = [opened.words(terms(query), _CANDIDATES, folder)]
                if self._embedder is not None and vector is not None:
                    near = self._vectors(opened.connection)
                    rankings.append(near.nearest(self._embedder.space, vector, _CANDIDATES, folder))
                return list(islice(_shown(opened, fuse(rankings)), limit))
        except BadIndex as exc:
            # Its path is nothing for a model.
            logger.warning("retrieve: %s", exc)
            raise ToolFailed("there is no index of documents that could be searched") from exc


def _shown(
    opened: index.Index, ranked: Iterable[tuple[int, float]]
) -> Iterator[Mapping[str, object]]:
    for one, score in ranked:
        if passage := opened.passage(one):
            yield {
                "title": passage.title,
                "url": strip(passage.url),
                "content": passage.content,
                "score": round(score, 4),
            }
