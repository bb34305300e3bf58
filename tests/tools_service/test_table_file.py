"""The runtime table on disk."""

import asyncio
import logging
from pathlib import Path

import pytest

from tools_service import table_file
from tools_service.runtimes import Key, Table

KEY = Key("search", "terms:2", "closed")


def known() -> Table:
    table = Table()
    table.observe(KEY, "ok", 3.0, table.expected(KEY), 0.0)
    return table


async def test_a_table_survives_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.json"
    await table_file.save(path, known())
    table = Table()
    table_file.read(path, table)
    assert len(table) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["table.json"]


def test_no_file_is_an_empty_table(tmp_path: Path) -> None:
    table = Table()
    table_file.read(tmp_path / "none", table)
    assert len(table) == 0


def test_a_damaged_file_is_an_empty_table_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(b'{"tools": ')
    table = Table()
    with caplog.at_level(logging.WARNING):
        table_file.read(path, table)
    assert len(table) == 0
    assert "unreadable" in caplog.text


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    target.mkdir()
    with pytest.raises(OSError):
        table_file.write(target, b"{}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.json"]


async def test_a_table_that_cannot_be_saved_is_no_reason_to_die(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    await table_file.save(tmp_path / "file" / "table.json", known())
    assert "not saved" in caplog.text


async def test_every_tick_saves(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    saved = asyncio.Event()

    async def tick() -> None:
        if path.exists():
            saved.set()
            await asyncio.Event().wait()

    keeping = asyncio.create_task(table_file.keep(path, known(), tick))
    async with asyncio.timeout(5):
        await saved.wait()
    keeping.cancel()
    await asyncio.wait([keeping])
    assert path.stat().st_size > 0
