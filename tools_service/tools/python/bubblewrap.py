"""Code in CPython, jailed by bubblewrap: no network, no files but Python's own, nobody's rights."""

import asyncio
import math
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from pathlib import Path

from tools_service.errors import ConfigError
from tools_service.python_config import PythonConfig
from tools_service.tools.python import driver
from tools_service.tools.python.cell import VALUE, Cell, cell
from tools_service.tools.python.engine import Ran, crashed, ended, too_long, too_much

_NOBODY = "65534"
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_BLOCK = 64 * 1024


class Bubblewrap:
    """Runs at most `workers` cells at once; another one waits."""

    def __init__(self, config: PythonConfig) -> None:
        """Raises ConfigError."""
        self._config = config
        self._argv = [*_as_nobody(), *_jail(config), *_python(config)]
        self._free = asyncio.Semaphore(config.workers)
        self.about = (
            "It is CPython with the standard library; no network, and files only under /tmp, "
            "which are gone afterwards."
        )

    async def check(self) -> None:
        """Raises ConfigError where the jail can't be built, with the reason."""
        ran = await self.run(cell("print(6 * 7)"))
        if ran.text.strip() != "42":
            said = ran.text.strip()[-500:] or "nothing"
            raise ConfigError(
                f"python.engine bubblewrap does not work here; it said: {said}. It needs user "
                "namespaces, and an interpreter that the user nobody can read if this service "
                "runs as root (python.interpreter); python.engine monty needs neither"
            )

    async def run(self, cell: Cell) -> Ran:
        async with self._free:
            asked = [VALUE if cell.has_value else "", str(self._config.output_chars)]
            process = await asyncio.create_subprocess_exec(
                *(*self._argv, *asked),
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                env={},
                cwd="/",
                start_new_session=True,
            )
            try:
                return await self._outcome(process, cell)
            finally:
                await _end(process)

    async def _outcome(self, process: Process, cell: Cell) -> Ran:
        limit = self._config.output_chars
        printed = bytearray()
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await _give(process, cell.code)
                whole = await _take(process, printed, limit)
                status = await process.wait() if whole else 0
        except TimeoutError:
            return too_long(_text(printed)[:limit], self._config.timeout_s)
        said, mark, end = _text(printed).rpartition("\0")
        if not mark:
            said, end = end, ""
        if not whole or len(said) > limit:
            return too_much(said, limit)
        if status not in (0, 1):
            return crashed(said)
        return Ran(ended(said, end, limit) if end else said, ok=status == 0)


def _text(printed: bytearray) -> str:
    return printed.decode(errors="replace")


async def _give(process: Process, code: str) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it has ended already; its status tells why
        process.stdin.write(code.encode())
        await process.stdin.drain()
        process.stdin.close()


async def _take(process: Process, printed: bytearray, limit: int) -> bool:
    """Reads to the end; False if there was more than may be kept.

    UTF-8 has up to 4 bytes a character, and what ends the run may be as long as what it printed.
    """
    assert process.stdout is not None
    while chunk := await process.stdout.read(_BLOCK):
        printed += chunk
        if len(printed) > 8 * limit:
            return False
    return True


async def _end(process: Process) -> None:
    """The jail falls with its first process, and with the jail everything in it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # asyncio does not see the end of a process before that of its output.
    assert process.stdout is not None
    while await process.stdout.read(_BLOCK):
        pass
    await process.wait()


def _as_nobody() -> list[str]:
    """As root, the number of processes could not be bounded. Raises ConfigError."""
    if os.geteuid() != 0:
        return []
    identity = ["--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups"]
    return [_found("setpriv", "util-linux"), *identity]


def _jail(config: PythonConfig) -> list[str]:
    interpreter = _interpreter(config)
    readable = [*_SYSTEM, str(interpreter.parent.parent / "lib")]
    binds = [word for path in readable for word in ("--ro-bind-try", path, path)]
    return [
        _found("bwrap", "bubblewrap"),
        *("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *("--clearenv", "--setenv", "LANG", "C.UTF-8", "--setenv", "HOME", "/tmp"),
        *binds,
        *("--ro-bind", str(interpreter), str(interpreter)),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(config.disk_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp"),
        # What is not mounted over is the jail's own: kept from becoming a second disk.
        *("--remount-ro", "/dev", "--remount-ro", "/", "--"),
    ]


def _python(config: PythonConfig) -> list[str]:
    """The interpreter, and what the driver wants to know first."""
    seconds = math.ceil(config.timeout_s) + 1
    # One more process: the jail's own first.
    limits = (seconds, config.memory_bytes, config.disk_bytes, config.processes + 1)
    program = Path(driver.__file__).read_text(encoding="utf-8")
    return [str(_interpreter(config)), "-I", "-B", "-u", "-c", program, *map(str, limits)]


def _interpreter(config: PythonConfig) -> Path:
    own = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    return (config.interpreter or own).resolve()


def _found(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ConfigError(
            f"python.engine bubblewrap needs {program}: install {package}, for example with "
            f"`apt-get install {package}`"
        )
    return path
