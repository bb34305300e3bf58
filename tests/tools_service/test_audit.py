"""The record of every call: complete, without values, and never in the way."""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.tools_service.test_retries import silent
from tests.tools_service.test_sharing import ask, settled
from tests.tools_service.tool_stand_ins import Trial, opened
from tools_service.audit import Audit, Record
from tools_service.audit_file import AuditFile
from tools_service.call import Call
from tools_service.policy import Group

RECORD = Record(
    time=1.0,
    tool="act",
    caller="0123",
    session=True,
    group=False,
    shape="any",
    outcome="ok",
    bytes_in=2,
    bytes_out=3,
    wait_s=0.0,
    run_s=0.5,
    attempts=1,
    hedged=False,
    shared=False,
    cached=False,
    truncated=False,
)


@dataclass
class Losses:
    """Counts what was dropped."""

    lost: float = 0.0
    some: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, number: float) -> None:
        self.lost += number
        self.some.set()


@dataclass
class Sink:
    """Keeps batches while it may, and breaks when told."""

    batches: list[list[bytes]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    async def write(self, batch: list[bytes]) -> None:
        self.begun.set()
        await self.free.wait()
        if self.broken:
            raise OSError("disk full")
        self.batches.append(batch)

    @property
    def outcomes(self) -> list[str]:
        return [json.loads(line)["outcome"] for batch in self.batches for line in batch]


def number(count: int) -> Record:
    return replaced(outcome=str(count))


def replaced(**changes: Any) -> Record:
    return Record(**{name: getattr(RECORD, name) for name in Record.__struct_fields__} | changes)


async def test_a_full_queue_drops_and_counts_and_blocks_nobody() -> None:
    sink, losses = Sink(), Losses()
    audit = Audit(sink, waiting=3, dropped=losses)
    async with asyncio.timeout(20):
        async with audit.opened():
            audit.note(number(0))
            await sink.begun.wait()
            for count in range(1, 6):
                audit.note(number(count))
            assert losses.lost == 2
            sink.free.set()
    assert sink.outcomes == ["0", "1", "2", "3"]


async def test_what_was_noted_is_written_before_the_end() -> None:
    sink, losses = Sink(), Losses()
    sink.free.set()
    audit = Audit(sink, waiting=10_000, dropped=losses)
    async with asyncio.timeout(20), audit.opened():
        for count in range(2000):
            audit.note(number(count))
    assert sink.outcomes == [str(count) for count in range(2000)]
    assert len(sink.batches) > 1
    assert losses.lost == 0


async def test_a_broken_sink_loses_its_batch_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink, losses = Sink(broken=True), Losses()
    sink.free.set()
    audit = Audit(sink, waiting=10, dropped=losses)
    async with asyncio.timeout(20), audit.opened():
        audit.note(number(0))
        await losses.some.wait()
        sink.broken = False
        audit.note(number(1))
    assert sink.outcomes == ["1"]
    assert losses.lost == 1
    assert "1 audit records are lost" in caplog.text


async def test_a_large_file_is_followed_by_a_new_one_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    sink = AuditFile(path, file_bytes=20, files=2)
    for count in range(8):
        await sink.write([b"line-%d-0" % count, b"line-%d-1" % count])
    await sink.write([b"last"])
    files = {file.name: file.read_text().split() for file in path.parent.iterdir()}
    assert files == {
        "audit.jsonl": ["last"],
        "audit.jsonl.1": ["line-6-0", "line-6-1", "line-7-0", "line-7-1"],
        "audit.jsonl.2": ["line-4-0", "line-4-1", "line-5-0", "line-5-1"],
    }
    assert path.stat().st_mode & 0o077 == 0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_every_call_leaves_one_record_and_no_value(tmp_path: Path) -> None:
    path, tool = tmp_path / "audit.jsonl", Trial()
    settings: dict[str, object] = {
        "audit": {"path": path},
        "hedge": {"share": 0},
        "result_bytes": 1024,
    }
    secret = "the-secret-of-the-caller"

    def call(name: str, **arguments: object) -> Call:
        return Call(name, arguments, Group(session="s-secret", id="g"), "caller-secret")

    async with opened(tool, **settings) as service:
        asking = [ask(service, call("trial", query=secret)) for _ in range(2)]
        run = await tool.begun.get()
        await settled(*asking)
        run.answers(secret)
        await asyncio.gather(*asking)
        await ask(service, call("act", text="5000"))
        await ask(service, call("act", text="fail"))
        await ask(service, call("act", text=5))
        await ask(service, call(f"no-such-tool-{secret}"))
        leaving = ask(service, call("gate"))
        await service.gate.started.wait()
        leaving.cancel()
        await asyncio.wait([leaving])
    found = lines(path)
    assert [(line["tool"], line["outcome"], line["attempts"]) for line in found] == [
        ("trial", "ok", 1),
        ("trial", "ok", 1),
        ("act", "ok", 1),
        ("act", "error", 1),
        ("act", "error", 0),
        ("unknown", "error", 0),
        ("gate", "cancelled", 1),
    ]
    assert sorted(line["shared"] for line in found[:2]) == [False, True]
    assert [line["truncated"] for line in found[:3]] == [False, False, True]
    assert found[2]["bytes_out"] <= 1024
    assert found[0]["bytes_in"] == len(json.dumps({"query": secret}, separators=(",", ":")))
    assert all(line["session"] and line["group"] for line in found)
    assert len({line["caller"] for line in found}) == 1
    assert "secret" not in path.read_text()


async def test_records_that_are_lost_move_their_metric(tmp_path: Path) -> None:
    audit = {"path": tmp_path / "file" / "audit.jsonl"}
    (tmp_path / "file").write_text("not a folder")
    async with opened(audit=audit) as service:
        await service.parts.executor.call(Call("act", {"text": "hello"}, Group()), silent)
    assert service.metric("audit_dropped_total") == 1
