"""The command itself: quick to start, clear when it is used wrongly."""

import subprocess
import sys

from tests.roundhouse.processes import Start


def test_the_command_starts_without_anything_heavy() -> None:
    script = (
        "import sys, roundhouse.__main__, roundhouse.cli;"
        "sys.exit(', '.join({'vllm', 'torch', 'aiohttp', 'mcp', 'pydantic'} & set(sys.modules)))"
    )
    tried = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert tried.stderr.strip() == ""


async def test_help_names_the_four_commands(start: Start) -> None:
    asked = await start("-m", "roundhouse", "--help")
    assert await asked.end() == 0
    for command in ("up", "ask", "ingest", "doctor"):
        assert f"│ {command} " in asked.output


async def test_settings_that_can_not_be_used_end_up_before_it_starts_anything(start: Start) -> None:
    asked = await start("-m", "roundhouse", "up", "--profile", "cpuu")
    assert await asked.end() == 2
    assert "no profile is called 'cpuu'" in asked.output
    assert "did you mean cpu?" in asked.output


async def test_a_port_that_is_taken_ends_up_before_the_model_is_loaded(
    start: Start, ports: tuple[str, str]
) -> None:
    holder = await start(
        "-c",
        f"import socket; s = socket.create_server(('127.0.0.1', {ports[0]}));"
        " print('held', flush=True); s.accept()",
    )
    await holder.until("held")
    asked = await start("-m", "roundhouse", "up", "--port", ports[0], "--tools-port", ports[1])
    assert await asked.end() == 1
    assert f"port {ports[0]} of 127.0.0.1 can't be had" in asked.output
    assert "--port" in asked.output
