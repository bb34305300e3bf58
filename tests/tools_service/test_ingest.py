"""`ingest`: only what has changed is read again, and no interruption leaves half a document."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.roundhouse.processes import Running, started
from tests.tools_service.embedding_stand_ins import (
    Embeddings,
    ingest,
    retrieving,
    urls,
    write,
)
from tests.tools_service.test_documents import pdf
from tests.tools_service.web_stand_ins import serving
from tools_service.errors import IndexBusy, ToolFailed
from tools_service.retrieval_config import RetrievalConfig
from tools_service.tools.retrieval.ingest import Step, alone
from tools_service.tools.retrieval.survey import survey


def settings(folder: Path, **more: object) -> RetrievalConfig:
    return RetrievalConfig.model_validate({"index_path": folder / "index.sqlite", **more})


def outcome(steps: list[Step]) -> dict[str, str]:
    return {step.path: step.change for step in steps}


async def test_each_document_is_new_unchanged_changed_or_removed(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="a", b_md="b", c_md="c")
    config = settings(tmp_path)
    assert outcome(await ingest(config, docs)) == {"a.md": "new", "b.md": "new", "c.md": "new"}
    write(docs, b_md="bb", d_md="d")
    (docs / "c.md").unlink()
    assert outcome(await ingest(config, docs)) == {
        "a.md": "unchanged",
        "b.md": "changed",
        "c.md": "removed",
        "d.md": "new",
    }


async def test_another_way_of_cutting_reads_everything_again(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="a")
    await ingest(settings(tmp_path), docs)
    assert outcome(await ingest(settings(tmp_path, chunk_chars=500), docs)) == {"a.md": "changed"}


async def test_folders_do_not_take_out_each_others_documents(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", a_md="cats"), write(tmp_path / "two", a_md="cats")
    config = settings(tmp_path)
    await ingest(config, one)
    assert outcome(await ingest(config, two)) == {"a.md": "new"}
    async with retrieving(config) as tool:
        assert await urls(tool, query="cats") == ["one/a.md", "two/a.md"]


async def test_one_bad_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="a", z_md="z")
    (docs / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "c.txt").write_bytes(b"a\0b")
    steps = await ingest(settings(tmp_path), docs)
    assert outcome(steps) == {"a.md": "new", "b.pdf": "failed", "c.txt": "skipped", "z.md": "new"}
    assert "PDF" in steps[1].why


async def test_a_document_that_fails_keeps_its_last_good_version(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs")
    config = settings(tmp_path)
    docs.mkdir()
    (docs / "a.pdf").write_bytes(pdf("Cats sleep"))
    await ingest(config, docs)
    (docs / "a.pdf").write_bytes(b"%PDF-1.4 half of an upload")
    assert outcome(await ingest(config, docs)) == {"a.pdf": "failed"}
    async with retrieving(config) as tool:
        assert await urls(tool, query="cats") == ["docs/a.pdf#page=1"]


async def test_a_document_that_is_left_out_from_now_on_is_removed(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="cats " * 300, b_txt="dogs")
    config = settings(tmp_path)
    await ingest(config, docs)
    (docs / "b.txt").write_bytes(b"do\0gs")
    steps = await ingest(config.model_copy(update={"file_bytes": 1024}), docs)
    assert outcome(steps) == {"a.md": "removed", "b.txt": "skipped"}
    async with retrieving(config) as tool:
        assert await urls(tool, query="cats dogs") == []


def test_the_survey_stays_inside_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", secret_md="s")
    docs = write(
        tmp_path / "docs", a_md="a", big_txt="x" * 2000, pic_png="p", bare_x="", sub__b_MD="b"
    )
    write(docs / ".git", config_md="c")
    write(docs, hidden_md="h")
    (docs / "hidden.md").rename(docs / ".hidden.md")
    (docs / "inside.md").symlink_to(docs / "a.md")
    (docs / "out.md").symlink_to(outside / "secret.md")
    (docs / "broken.md").symlink_to(docs / "nowhere.md")
    (docs / "folder").symlink_to(outside)
    (docs / "itself.md").symlink_to(docs / "itself.md")
    os.mkfifo(docs / "pipe.txt")
    (docs / os.fsdecode(b"\xff.md")).write_text("x")
    found = survey(docs, 1000)
    assert found.files == ["a.md", "inside.md", "sub/b.MD"]
    assert found.skipped == {
        "hidden": 2,
        "a link to a folder": 1,
        "a link that leads out of the folder": 2,
        "not a file": 2,
        "too large": 1,
        "with a name that is not UTF-8": 1,
        "of a kind that is not read (.png)": 1,
        "of a kind that is not read (.x)": 1,
    }


async def test_a_folder_that_cannot_be_looked_into_loses_nothing(tmp_path: Path) -> None:
    """Its documents are not there to be seen, which is not the same as being gone."""
    found = survey(tmp_path, 1000)
    found.closed["sub"] = "Permission denied"
    assert found.may_hold("sub/a.md")
    assert not found.may_hold("submarine/a.md")
    found.closed["."] = "Permission denied"
    assert found.may_hold("submarine/a.md")


async def test_a_failing_embedder_keeps_what_is_done_and_the_rest_for_later(
    tmp_path: Path,
) -> None:
    docs = write(tmp_path / "docs", a_md="a", b_md="b")
    server = Embeddings()
    async with serving(server.handle) as url:
        config = settings(tmp_path, embedder={"url": f"{url}/v1", "model": "m"})
        await ingest(config, write(docs, b_md="old b"))
        write(docs, a_md="new a", b_md="new b")
        server.refusals = [(400, {})]
        with pytest.raises(ToolFailed):
            await ingest(config, docs)
        assert outcome(await ingest(config, docs)) == {"a.md": "changed", "b.md": "changed"}


def test_two_ingests_into_one_index_do_not_meet(tmp_path: Path) -> None:
    index = tmp_path / "sub/index.sqlite"
    with alone(index), pytest.raises(IndexBusy, match="another ingest"), alone(index):
        pass
    with alone(index):
        pass


@asynccontextmanager
async def command(
    folder: Path, docs: Path, by_itself: bool = False, **retrieval: object
) -> AsyncIterator[Running]:
    """`roundhouse ingest`, running; `by_itself` without the command around it."""
    index = str(folder / "index.sqlite")
    file = folder / "house.yaml"
    # Open to the network, as in a container: the command has no token to show, nor needs one.
    service: dict[str, object] = {"host": "127.0.0.1" if by_itself else "0.0.0.0"}
    service |= {"retrieval": {"index_path": index} | retrieval}
    file.write_text(json.dumps({"tools_service": service}))
    whole = ("roundhouse", "ingest", str(docs), "--config", str(file))
    inner = ("tools_service", "--config", str(file), "ingest", str(docs))
    argv = inner if by_itself else whole
    async with started(sys.executable, "-m", *argv, NO_PROXY="127.0.0.1") as running:
        yield running


async def test_the_command_reports_what_it_did(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="cats", b_md="dogs", pic_png="p")
    async with command(tmp_path, docs) as first:
        assert await first.end() == 0
    assert "2 new, 0 changed, 0 unchanged, 0 removed, 1 skipped, 0 failed" in first.output
    assert "skipped: 1 of a kind that is not read (.png)" in first.output
    (docs / "c.pdf").write_bytes(b"no")
    async with command(tmp_path, docs, by_itself=True) as second:
        assert await second.end() == 1
    assert "failed: c.pdf: " in second.output
    assert "2 unchanged" in second.output


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
async def test_an_interrupted_ingest_can_go_on(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Stopped while it waits for the vectors of the second document."""
    docs = write(tmp_path / "docs", a_md="cats", b_md="cats too", c_md="cats three")
    server = Embeddings()
    async with serving(server.handle) as url:
        retrieval = {"embedder": {"url": f"{url}/v1", "model": "m"}}
        config = settings(tmp_path, **retrieval)
        await ingest(config, write(tmp_path / "docs", b_md="cats before"))
        write(docs, a_md="cats new", b_md="cats too")
        server.gate = asyncio.Event()
        server.batches.clear()
        async with command(tmp_path, docs, number == signal.SIGTERM, **retrieval) as running:
            await waiting(server, 1)
            server.gate.set()
            server.gate = asyncio.Event()
            await waiting(server, 2)
            running.process.send_signal(number)
            assert await running.end() == status
        server.gate.set()
        server.gate = None
        if number != signal.SIGKILL:
            assert "1 changed" in running.output
            assert "run the same command again to go on" in running.output
        connection = sqlite3.connect(config.index)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        steps = await ingest(config, docs)
    assert outcome(steps) == {"a.md": "unchanged", "b.md": "changed", "c.md": "unchanged"}


async def waiting(server: Embeddings, batches: int) -> None:
    async with asyncio.timeout(240):
        while len(server.batches) < batches:
            server.asked.clear()
            await server.asked.wait()


async def test_the_command_says_when_another_one_runs(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="a")
    with alone(tmp_path / "index.sqlite"):
        async with command(tmp_path, docs, by_itself=True) as refused:
            assert await refused.end() == 2
    assert "another ingest is writing" in refused.output
    assert "Traceback" not in refused.output


async def test_the_command_says_when_there_is_no_folder(tmp_path: Path) -> None:
    async with command(tmp_path, tmp_path / "nowhere", by_itself=True) as refused:
        assert await refused.end() == 2
    assert "nowhere is not a folder" in refused.output


async def test_the_command_says_when_its_embedder_is_away(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a_md="a")
    embedder = {"url": "http://127.0.0.1:9/v1", "model": "m", "attempts": 1}
    async with command(tmp_path, docs, by_itself=True, embedder=embedder) as failed:
        assert await failed.end() == 1
    assert "the embedder cannot be reached" in failed.output
    assert "run it again to go on" in failed.output
