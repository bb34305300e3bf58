"""A folder of documents: BM25 in an SQLite index in memory. Needs nothing and reaches nothing."""

import asyncio
import queue
import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from tools_service.tools.corpus import Passage
from tools_service.tools.providers.provider import Hit, Offer, Page, PageReader, Query
from tools_service.tools.terms import match, terms

_THREADS = 2
_TITLE_WEIGHT = 3.0
_OPENING_BONUS = 0.3
_SELECT = """
    SELECT title, url, content, bm25(passages, ?, 0.0, 1.0, 0.0) * (1 + ? * opening) AS rank
    FROM passages WHERE passages MATCH ? ORDER BY rank, rowid LIMIT ?
"""

_DOCUMENT = "SELECT title, content FROM passages WHERE url = ? ORDER BY rowid"


class Local:
    """The passages of a folder. Other pages are the reader's, if there is one."""

    name = "local"
    offer = Offer(open_world=False, raw_content=False)

    def __init__(self, passages: Iterable[Passage], reader: PageReader | None = None) -> None:
        self._reader = reader
        image = _index(passages)
        self._connections: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(_THREADS):
            self._connections.put(_open(image))
        # A thread of our own for each connection: nobody waits for one inside a thread.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True)
        while not self._connections.empty():
            self._connections.get().close()

    def shape(self, query: Query) -> str:
        return f"terms:{min(len(terms(query.text)), 8)}"

    async def search(self, query: Query) -> list[Hit]:
        words = terms(query.text)
        if not words:
            return []
        values = _TITLE_WEIGHT, _OPENING_BONUS, match(words), query.max_results
        rows = await self._ask(_SELECT, *values)
        return [Hit(title, url, content, round(-rank, 3)) for title, url, content, rank in rows]

    async def extract(self, urls: Sequence[str]) -> list[Page]:
        outside = [url for url in urls if not url.startswith("docs/")]
        read = await self._reader.read_all(outside) if self._reader and outside else ()
        pages = {page.url: page for page in read}
        return [pages.get(url) or await self._document(url) for url in urls]

    async def _document(self, url: str) -> Page:
        rows = await self._ask(_DOCUMENT, url)
        if not rows:
            return Page(url, "", error="no such document")
        return Page(url, rows[0][0], "\n\n".join(content for _, content in rows))

    async def _ask(self, statement: str, *values: object) -> list[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._rows, statement, values)

    def _rows(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        connection = self._connections.get()
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            self._connections.put(connection)


def _index(passages: Iterable[Passage]) -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute(
            "CREATE VIRTUAL TABLE passages USING fts5"
            "(title, url UNINDEXED, content, opening UNINDEXED, tokenize='porter unicode61')"
        )
        connection.executemany(
            "INSERT INTO passages VALUES (?, ?, ?, ?)",
            ((p.title, p.url, p.content, p.opening) for p in passages),
        )
    image = connection.serialize()
    connection.close()
    return image


def _open(image: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.deserialize(image)
    return connection
