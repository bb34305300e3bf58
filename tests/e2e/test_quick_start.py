"""The README's quick start, run as it is written."""

import asyncio
import json
import os
import re
import runpy
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VENV = os.environ.get("ROUNDHOUSE_VENV", ".venv")
START_S = 280.0  # a cold start on a busy machine; only so that a hanging test ends

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


def block(language: str, sign: str) -> str:
    """The fenced block in which that sign stands."""
    found = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    (text,) = [text for text in found if sign in text]
    return str(text)


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def set_up() -> bool:
    """Would `scripts/install` have nothing to do here?"""
    install = runpy.run_path(str(ROOT / "scripts" / "install.py"))
    flavour = os.environ.get("ROUNDHOUSE_FLAVOUR") or ("gpu" if install["gpu_present"]() else "cpu")
    return bool(install["Plan"](ROOT / VENV, flavour, dev=True).done())


async def said(command: str, url: str) -> str:
    """What a command of the README prints, asked of the gateway at that address."""
    command = command.replace("http://127.0.0.1:8000", url).replace(".venv/", f"{VENV}/")
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=ROOT,
        env=os.environ | {"ROUNDHOUSE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


@asynccontextmanager
async def run(command: str, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=ROOT,
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    family = psutil.Process(process.pid)
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            for member in [*family.children(recursive=True), family]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()


async def read_until(process: asyncio.subprocess.Process, text: str) -> str:
    output = ""
    assert process.stdout
    async with asyncio.timeout(START_S):
        while text not in output:
            chunk = await process.stdout.read(4096)
            assert chunk, f"ended without saying {text!r}:\n{output}"
            output += chunk.decode(errors="replace")
    return output


async def test_the_quick_start_works_as_written_and_leaves_nothing_behind() -> None:
    if not set_up():
        pytest.skip(f"{VENV} is not up to date: run scripts/install --dev")
    port, tools_port = free_ports()
    url = f"http://127.0.0.1:{port}"
    command = block("bash", "install && .venv/bin/roundhouse up\n").replace(".venv/", f"{VENV}/")
    ports = {"ROUNDHOUSE_PORT": str(port), "ROUNDHOUSE_TOOLS_PORT": str(tools_port)}
    async with run(command, **ports) as shell:
        output = await read_until(shell, "roundhouse ask --url")
        assert f"Roundhouse is ready at {url}/v1 (model demo)" in output
        assert "self-test passed" in output

        body = json.loads(await said(block("bash", "/v1/chat/completions -H"), url))
        assert body["roundhouse"]["tool_calls"][0]["name"] == "calculate"
        assert body["choices"][0]["finish_reason"] == "stop"
        script = block("python", "from openai").replace("http://127.0.0.1:8000", url)
        assert (await said(f"{sys.executable} - <<'END'\n{script}\nEND", url)).strip()
        answer = await said(block("bash", "roundhouse ask"), url)
        assert "→ calculate(" in answer and "✓ calculate done" in answer

        first = psutil.Process(shell.pid)  # bash, or what it has become
        family = [first, *first.children(recursive=True)]
        (house,) = [one for one in family if one.cmdline()[-1] == "up"]
        house.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert shell.stdout
            await shell.stdout.read()
            assert await shell.wait() == 0
        assert len(family) > 4
        assert not [one for one in family if one.is_running() and one.status() != "zombie"]
