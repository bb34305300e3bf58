"""`retrieve` over what was ingested: by words, by meaning, from both kinds of store."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.tools_service.embedding_stand_ins import (
    Embeddings,
    clear,
    ingest,
    results,
    retrieving,
    urls,
    write,
)
from tests.tools_service.test_embedders import model
from tests.tools_service.web_stand_ins import NOBODY, serving
from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError, ToolFailed
from tools_service.retrieval_config import RetrievalConfig
from tools_service.tools.build import opened
from tools_service.tools.registry import Registry
from tools_service.tools.retrieval.fusion import K, fuse
from tools_service.tools.retrieval.index import opened as opened_index

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=4)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(
        tmp_path / "docs",
        pets_md="# Pets\n## Cats\nCats sleep all day.\n## Dogs\nDogs run in the park.\n",
        plans__plan_txt="The plan: running a marathon.",
        plans__more__deep_html="<h1>Deep</h1><p>Cats at work.</p>",
    )


def settings(folder: Path, **more: object) -> RetrievalConfig:
    return RetrievalConfig.model_validate({"index_path": folder / "index.sqlite", **more})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Embeddings, str]]:
    embeddings = Embeddings()
    async with serving(embeddings.handle) as url:
        yield embeddings, f"{url}/v1"


@given(RANKINGS)
def test_fusion_ranks_everything_once_and_rewards_agreement(rankings: list[list[int]]) -> None:
    fused = fuse(rankings)
    ids = [one for one, _ in fused]
    assert sorted(ids) == sorted(set().union(*rankings) if rankings else set())
    assert [score for _, score in fused] == sorted((s for _, s in fused), reverse=True)
    for one, score in fused:
        ranks = [ranking.index(one) + 1 for ranking in rankings if one in ranking]
        assert score == pytest.approx(sum(1 / (K + rank) for rank in ranks))


async def test_without_an_embedder_words_are_enough(tmp_path: Path, docs: Path) -> None:
    config = settings(tmp_path)
    await ingest(config, docs)
    async with retrieving(config) as tool:
        assert tool.upstream is None
        (first, *_) = await results(tool, query="What do the cats do, sleeping?")
        assert first == {
            "title": "Pets > Cats",
            "url": "docs/pets.md#cats",
            "content": "Cats sleep all day.",
            "score": 0.0164,
        }
        assert await urls(tool, query="runs") == ["docs/plans/plan.txt", "docs/pets.md#dogs"]
        assert await urls(tool, query="zebra") == []
        assert await urls(tool, query='" OR * NEAR( -') == []


async def test_a_folder_narrows_the_search(tmp_path: Path, docs: Path) -> None:
    config = settings(tmp_path)
    await ingest(config, docs)
    async with retrieving(config) as tool:
        found = await urls(tool, query="cats", folder="docs/plans/")
        assert found == ["docs/plans/more/deep.html#deep"]
        assert await urls(tool, query="cats", folder="docs/wor") == []
        assert len(await urls(tool, query="cats", folder="docs")) == 2


@pytest.mark.parametrize("kind", ["sqlite", "qdrant"])
async def test_meaning_finds_what_words_do_not(
    tmp_path: Path, docs: Path, server: tuple[Embeddings, str], kind: str
) -> None:
    """No word of the query is in the documents, but their letters are."""
    store = {"kind": kind} | ({"path": str(tmp_path / "qdrant")} if kind == "qdrant" else {})
    embedder = {"url": server[1], "model": "m"}
    config = settings(tmp_path, embedder=embedder, store=store)
    await ingest(config, docs)
    async with retrieving(config) as tool:
        assert tool.upstream == "embeddings"
        assert not tool.annotations.open_world
        first, *_ = await urls(tool, query="marathonist planner", max_results=1)
        assert first == "docs/plans/plan.txt"
        below = await urls(tool, query="marathonist planner", folder="docs/plans/more")
        assert below == ["docs/plans/more/deep.html#deep"]
        assert len(await urls(tool, query="catlike", max_results=2)) == 2


@pytest.mark.parametrize("kind", ["sqlite", "qdrant"])
async def test_what_has_gone_is_not_found_any_more(
    tmp_path: Path, docs: Path, server: tuple[Embeddings, str], kind: str
) -> None:
    store = {"kind": kind} | ({"path": str(tmp_path / "qdrant")} if kind == "qdrant" else {})
    config = settings(tmp_path, embedder={"url": server[1], "model": "m"}, store=store)
    await ingest(config, docs)
    (docs / "plans/plan.txt").unlink()
    write(docs, pets_md="# Pets\nOnly fish.\n")
    await ingest(config, docs)
    async with retrieving(config) as tool:
        found = await urls(tool, query="marathon cats fish", max_results=20)
    assert sorted(map(str, found)) == ["docs/pets.md#pets", "docs/plans/more/deep.html#deep"]


async def test_a_local_model_needs_no_server(tmp_path: Path, docs: Path) -> None:
    config = settings(tmp_path, embedder={"folder": str(model(tmp_path / "model"))})
    await ingest(config, docs)
    async with retrieving(config) as tool:
        assert tool.upstream is None
        assert len(await urls(tool, query="cats")) == 4


async def test_vectors_of_another_embedder_are_not_compared(
    tmp_path: Path, docs: Path, server: tuple[Embeddings, str]
) -> None:
    one = settings(tmp_path, embedder={"url": server[1], "model": "one"})
    other = settings(tmp_path, embedder={"url": server[1], "model": "other"})
    await ingest(one, docs)
    async with retrieving(other) as tool:
        assert await urls(tool, query="marathonist") == []
    assert {step.change for step in await ingest(other, docs)} == {"changed"}
    async with retrieving(other) as tool:
        assert await urls(tool, query="marathonist", max_results=1) == ["docs/plans/plan.txt"]


async def test_a_running_tool_sees_a_new_index_and_a_new_file(tmp_path: Path, docs: Path) -> None:
    config = settings(tmp_path)
    async with retrieving(config) as tool:
        with pytest.raises(ToolFailed, match="no index of documents"):
            await urls(tool, query="cats")
        await ingest(config, docs)
        assert len(await urls(tool, query="cats")) == 2
        clear(tmp_path, "index.sqlite*")
        await ingest(config, write(tmp_path / "other", a_txt="cats"))
        assert await urls(tool, query="cats") == ["other/a.txt"]


async def test_a_reader_is_not_kept_waiting_by_a_writer(tmp_path: Path, docs: Path) -> None:
    config = settings(tmp_path)
    await ingest(config, docs)
    with opened_index(config.index, create=True) as writing, writing.changing():
        writing.remove(str(docs), "pets.md")
        async with retrieving(config) as tool:
            assert "docs/pets.md#cats" in await urls(tool, query="cats")


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at", b""])
async def test_a_file_that_is_no_index_is_named_to_the_operator_only(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    config = settings(tmp_path)
    config.index.write_bytes(content)
    async with retrieving(config) as tool:
        with pytest.raises(ToolFailed) as failed:
            await urls(tool, query="cats")
    assert str(tmp_path) not in str(failed.value)
    assert str(config.index) in caplog.text


async def test_the_tables_of_words_and_vectors_follow_the_documents(
    tmp_path: Path, docs: Path, server: tuple[Embeddings, str]
) -> None:
    config = settings(tmp_path, embedder={"url": server[1], "model": "m"})
    await ingest(config, docs)
    clear(docs, "*.*")
    await ingest(config, docs)
    connection = sqlite3.connect(config.index)
    for table in ("documents", "chunks", "vectors"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    connection.close()


async def test_an_embedder_that_is_away_is_a_failed_call(tmp_path: Path, docs: Path) -> None:
    config = settings(
        tmp_path, embedder={"url": "http://127.0.0.1:9/v1", "model": "m", "attempts": 1}
    )
    async with retrieving(config) as tool:
        with pytest.raises(ToolFailed, match="the embedder cannot be reached"):
            await urls(tool, query="cats")


async def test_a_qdrant_that_is_away_is_a_failed_call(
    tmp_path: Path, docs: Path, server: tuple[Embeddings, str]
) -> None:
    embedder = {"url": server[1], "model": "m"}
    await ingest(settings(tmp_path, embedder=embedder), docs)
    away = {"kind": "qdrant", "url": "http://127.0.0.1:9"}
    async with retrieving(settings(tmp_path, embedder=embedder, store=away)) as tool:
        with pytest.raises(ToolFailed, match="Qdrant cannot be used"):
            await urls(tool, query="cats")


# The library leaves its lock file open when it raises.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_qdrant_folder_belongs_to_one_process(
    tmp_path: Path, server: tuple[Embeddings, str]
) -> None:
    store = {"kind": "qdrant", "path": str(tmp_path / "qdrant")}
    config = settings(tmp_path, embedder={"url": server[1], "model": "m"}, store=store)
    async with retrieving(config):
        with pytest.raises(ConfigError, match="cannot be opened"):
            async with retrieving(config):
                pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"embedder": {"url": "http://x/v1"}},
        {"embedder": {"model": "m"}},
        {"embedder": {"url": "http://x/v1", "model": "m", "folder": "/x"}},
        {"embedder": {"key_env": "K"}},
        {"embedder": {"url": "ftp://x", "model": "m"}},
        {"store": {"kind": "qdrant", "path": "/x"}},
        {"store": {"url": "http://x"}},
        {"store": {"kind": "qdrant"}, "embedder": {"folder": "/x"}},
        {"store": {"kind": "qdrant", "path": "/x", "key_env": "K"}, "embedder": {"folder": "/x"}},
        {"chunk_chars": 300, "overlap_chars": 200},
        {"chunk_chars": 10},
    ],
)
def test_settings_that_contradict_each_other_stop_the_start(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RetrievalConfig.model_validate(wrong)


async def test_it_is_served_where_it_is_listed(tmp_path: Path, docs: Path) -> None:
    retrieval = settings(tmp_path)
    await ingest(retrieval, docs)
    config = ToolsServiceConfig.model_validate(
        {"tools": ["retrieve"], "retrieval": retrieval.model_dump(mode="json")}
    )
    async with opened(config, {}) as (tool,):
        Registry([tool]).check(tool, {"query": "cats", "max_results": 3.0, "folder": "docs"})
        assert tool.shape({"query": "what do the cats eat"}) == "terms:2"
        output = await tool.run({"query": "cats", "max_results": 1.0}, NOBODY)
    assert len(json.loads(output.text)["results"]) == 1
