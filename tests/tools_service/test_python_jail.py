"""What only a whole CPython can try: processes, threads, a disk; and a jail that can't be built."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.tools_service.python_stand_ins import failure, jail, sandbox, skip_without_jail, text
from tools_service.errors import ConfigError
from tools_service.python_config import PythonConfig
from tools_service.tools.python import bubblewrap
from tools_service.tools.python.build import python
from tools_service.tools.python.tool import Python


@pytest.fixture
async def jailed() -> AsyncIterator[Python]:
    await skip_without_jail()
    async with sandbox("bubblewrap", timeout_s=5, processes=8) as made:
        yield made


async def test_a_fork_bomb_does_not_get_far(jailed: Python) -> None:
    code = "import os\nwhile True:\n    os.fork()"
    assert "Resource temporarily unavailable" in await failure(jailed, code)


async def test_threads_are_bounded_too(jailed: Python) -> None:
    code = (
        "import threading, time\n"
        "for _ in range(50):\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    assert "can't start new thread" in await failure(jailed, code)


async def test_nothing_outlives_its_run(jailed: Python) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    os.execv('/proc/self/exe', ['survivor', '-c', 'import time; time.sleep(600)'])\n"
        "print('parent ends')"
    )
    assert await text(jailed, code) == "parent ends"
    processes = psutil.process_iter(["cmdline"])
    assert ["survivor"] not in [(one.info["cmdline"] or [])[:1] for one in processes]


async def test_the_jail_has_a_small_disk_that_is_gone_afterwards(jailed: Python) -> None:
    fill = "with open(f'/tmp/{i}', 'wb') as f:\n        f.write(bytes(10**6))"
    assert "No space left" in await failure(jailed, f"for i in range(99):\n    {fill}")
    big = "f = open('/tmp/x', 'wb')\nfor _ in range(99):\n    f.write(bytes(10**6))"
    assert "OSError" in await failure(jailed, big)
    assert await text(jailed, "import os\nos.listdir('/tmp')") == "[]"


async def test_the_standard_library_is_there(jailed: Python) -> None:
    code = "import sqlite3, statistics, decimal\nstatistics.mean([1, 2])"
    assert await text(jailed, code) == "1.5"
    assert await failure(jailed, "import sys\nsys.exit(3)") == "SystemExit: 3"
    assert "ended by a limit" in await failure(jailed, "import os\nos.kill(os.getpid(), 9)")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder programs are looked for in, with a bwrap that does not work."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no user namespaces' >&2\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv") or "/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


async def test_a_jail_that_cannot_be_built_stops_the_start(programs: Path) -> None:
    with pytest.raises(ConfigError, match="bubblewrap does not work here"):
        async with python(PythonConfig.model_validate(jail())):
            pass
    (programs / "bwrap").unlink()
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        bubblewrap.Bubblewrap(PythonConfig.model_validate(jail()))
