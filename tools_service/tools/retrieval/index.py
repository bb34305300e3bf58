"""The index: documents and their chunks in one SQLite file, found by words or by vectors."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools_service.errors import BadIndex
from tools_service.tools.retrieval.documents import Chunk
from tools_service.tools.terms import match

_VERSION = 1
_BUSY_S = 10.0
_TITLE_WEIGHT = 3.0
_SCHEMA = """
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY, root TEXT NOT NULL, path TEXT NOT NULL, url TEXT NOT NULL,
        digest TEXT NOT NULL, space TEXT NOT NULL, UNIQUE (root, path)
    );
    CREATE TABLE chunks (
        -- AUTOINCREMENT: an id is never used again, so a vector left behind belongs to nobody.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
        title TEXT NOT NULL, anchor TEXT NOT NULL, content TEXT NOT NULL
    );
    CREATE INDEX chunks_document ON chunks (document);
    CREATE TABLE vectors (
        chunk INTEGER PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
        space TEXT NOT NULL, vector BLOB NOT NULL
    );
    CREATE VIRTUAL TABLE words USING fts5 (
        title, content, content='chunks', content_rowid='id', tokenize='porter unicode61'
    );
    CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
        INSERT INTO words (rowid, title, content) VALUES (new.id, new.title, new.content);
    END;
    CREATE TRIGGER chunk_gone AFTER DELETE ON chunks BEGIN
        INSERT INTO words (words, rowid, title, content)
        VALUES ('delete', old.id, old.title, old.content);
    END;
"""
_WORDS = """
    SELECT words.rowid FROM words WHERE words MATCH ?
    ORDER BY bm25(words, ?, 1.0), words.rowid LIMIT ?
"""
_WORDS_BELOW = """
    SELECT words.rowid FROM words
    JOIN chunks ON chunks.id = words.rowid JOIN documents ON documents.id = chunks.document
    WHERE words MATCH ? AND substr(documents.url, 1, length(?) + 1) = ? || '/'
    ORDER BY bm25(words, ?, 1.0), words.rowid LIMIT ?
"""
_PASSAGE = """
    SELECT chunks.title, documents.url, chunks.anchor, chunks.content
    FROM chunks JOIN documents ON documents.id = chunks.document WHERE chunks.id = ?
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A file of an ingested folder. `digest` changes with its bytes and with how it is cut."""

    root: str
    path: str
    url: str
    digest: str
    space: str
    """Of its vectors; empty without any."""


@dataclass(frozen=True, slots=True)
class Old:
    """Chunks that are no longer there, and the space their vectors were in."""

    space: str
    ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was found; `url` leads to its place in the document."""

    title: str
    url: str
    content: str


class Index:
    """An open index. Writing happens inside `changing`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @contextmanager
    def changing(self) -> Iterator[None]:
        """All of the block or nothing of it, whatever ends it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def digest(self, root: str, path: str) -> str | None:
        """The digest under which a document was indexed; None if it was not."""
        asked = "SELECT digest FROM documents WHERE root = ? AND path = ?"
        row = self.connection.execute(asked, (root, path)).fetchone()
        return str(row[0]) if row else None

    def paths(self, root: str) -> list[str]:
        """The indexed documents of a folder."""
        asked = "SELECT path FROM documents WHERE root = ? ORDER BY path"
        return [str(path) for (path,) in self.connection.execute(asked, (root,))]

    def add(self, document: Document, chunks: Sequence[Chunk]) -> list[int]:
        """The ids of its chunks. An older version must have been removed."""
        values = (document.root, document.path, document.url, document.digest, document.space)
        cursor = self.connection.execute(
            "INSERT INTO documents (root, path, url, digest, space) VALUES (?, ?, ?, ?, ?)", values
        )
        return [self._add(cursor.lastrowid, chunk) for chunk in chunks]

    def _add(self, document: int | None, chunk: Chunk) -> int:
        cursor = self.connection.execute(
            "INSERT INTO chunks (document, title, anchor, content) VALUES (?, ?, ?, ?)",
            (document, chunk.title, chunk.anchor, chunk.content),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def remove(self, root: str, path: str) -> Old:
        """Takes a document out; what was there of it, if anything."""
        asked = "SELECT id, space FROM documents WHERE root = ? AND path = ?"
        row = self.connection.execute(asked, (root, path)).fetchone()
        if row is None:
            return Old("", ())
        ids = self.connection.execute("SELECT id FROM chunks WHERE document = ?", (row[0],))
        old = Old(row[1], [int(one) for (one,) in ids])
        self.connection.execute("DELETE FROM documents WHERE id = ?", (row[0],))
        return old

    def words(self, terms: list[str], limit: int, folder: str | None) -> list[int]:
        """The ids of the chunks that say these words best (BM25), best first."""
        if not terms:
            return []
        found = (
            self.connection.execute(_WORDS, (match(terms), _TITLE_WEIGHT, limit))
            if folder is None
            else self.connection.execute(
                _WORDS_BELOW, (match(terms), folder, folder, _TITLE_WEIGHT, limit)
            )
        )
        return [int(one) for (one,) in found]

    def passage(self, one: int) -> Passage | None:
        """The chunk of that id, if there still is one."""
        row = self.connection.execute(_PASSAGE, (one,)).fetchone()
        if row is None:
            return None
        title, url, anchor, content = row
        return Passage(title, f"{url}#{anchor}" if anchor else url, content)


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[Index]:
    """The index in that file; a new one where `create` says so. Raises BadIndex."""
    if not create and not path.is_file():
        raise BadIndex(f"there is no index at {path}: run `roundhouse ingest FOLDER`")
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            _prepare(connection, path, create=create)
            yield Index(connection)
    except sqlite3.Error as exc:
        raise BadIndex(f"the index {path} cannot be used: {exc}") from exc


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if create and version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        # WAL: readers see the last finished document while the next one is written.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
    elif version != _VERSION:
        raise BadIndex(f"{path} is no index of this version: remove it and ingest again")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA query_only = {int(not create)}")
