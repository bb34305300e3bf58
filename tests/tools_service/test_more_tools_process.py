"""More tools than the built-in ones, in the real process: as the README says, and when killed."""

import asyncio
import json
import re
import sys
from pathlib import Path

import psutil
import yaml
from mcp import Client

from tests.tools_service.test_tools_process import Process, process

README = Path(__file__).parents[2] / "README.md"


def blocks(kind: str, part: str) -> str:
    """The one block of that kind with this in it."""
    found = re.findall(rf"```{kind}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    (block,) = [block for block in found if part in block]
    return str(block)


async def test_the_readmes_own_tool_and_upstream_answer(tmp_path: Path) -> None:
    mine, notes = tmp_path / "mine.py", tmp_path / "notes.py"
    mine.write_text(blocks("python", "disk_space"))
    notes.write_text(blocks("python", "MCPServer"))
    own = yaml.safe_load(blocks("yml", "own: [mine.py]"))["tools_service"]
    upstreams = yaml.safe_load(blocks("yml", "upstreams:"))["tools_service"]
    assert own == {"own": ["mine.py"]}
    assert upstreams["upstreams"]["notes"]["command"] == ".venv/bin/python"
    upstreams["upstreams"]["notes"] |= {"command": sys.executable, "cwd": str(tmp_path)}
    upstreams["upstreams"]["notes"]["connect_s"] = 240
    settings = {"own": [str(mine)], **upstreams, "pins_path": str(tmp_path / "pins.json")}
    async with (
        asyncio.timeout(240),
        process(tmp_path, **settings) as started,
        Client(f"{started.url}/mcp") as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        space = await client.call_tool("disk_space", {})
        nowhere = await client.call_tool("disk_space", {"folder": "/nowhere"})
        kept = await client.call_tool("notes_remember", {"text": "milk"})
    assert names == ["calculate", "disk_space", "notes_remember", "search"]
    assert space.structured_content is not None
    assert space.structured_content["total_gb"] > 0
    assert "/nowhere: No such file" in nowhere.model_dump_json()
    assert "kept: milk" in kept.model_dump_json()
    pinned = json.loads((tmp_path / "pins.json").read_text())["upstreams"]["notes"]
    assert list(pinned["accepted"]) == ["remember"]


async def test_a_killed_service_takes_a_deaf_child_with_it(tmp_path: Path) -> None:
    """A child that never reads its input outlived a service that was killed."""
    program = "import os, threading; os.write(2, b'deaf\\n'); threading.Event().wait()"
    deaf = {"transport": "stdio", "command": sys.executable, "args": ["-c", program]}
    settings = {
        "pins_path": str(tmp_path / "pins.json"),
        "upstreams": {"deaf": {**deaf, "tools": ["a"], "connect_s": 3}},
    }
    async with asyncio.timeout(240), process(tmp_path, **settings) as started:
        child = await _child(started)
        started.child.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, [child], 240)
    assert not alive


async def _child(started: Process) -> psutil.Process:
    """The deaf child of a later attempt: while it lives, the service waits for its answer."""
    assert started.child.stderr is not None
    async for line in started.child.stderr:
        if line.endswith(b"upstream deaf: deaf\n"):
            break
    (child,) = psutil.Process(started.child.pid).children()
    return child
