"""The README's two ways to more tools work as they are printed."""

import asyncio
import json
import re
import sys
from pathlib import Path

import yaml
from mcp import Client

from tests.tools_service.test_tools_process import process

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
    upstreams["upstreams"]["notes"]["connect_s"] = 60
    settings = {"own": [str(mine)], **upstreams, "pins_path": str(tmp_path / "pins.json")}
    async with (
        asyncio.timeout(90),
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
