"""`python`: code runs, says what it did, and gets at nothing and nowhere in both sandboxes."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from mcp import Client
from mcp_types import TextContent
from pydantic import ValidationError

from tests.tools_service.python_stand_ins import failure, sandbox, skip_without_jail, text
from tests.tools_service.test_tools_process import process
from tests.tools_service.web_stand_ins import NOBODY
from tools_service.config import ToolsServiceConfig
from tools_service.errors import ToolFailed
from tools_service.python_config import PythonConfig
from tools_service.tools.build import opened
from tools_service.tools.python.tool import Python
from tools_service.tools.registry import Registry


@pytest.fixture(scope="module", params=["monty", "bubblewrap"])
async def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name == "bubblewrap":
        await skip_without_jail()
    return name


@pytest.fixture
async def tool(engine: str) -> AsyncIterator[Python]:
    async with sandbox(engine) as made:
        yield made


async def test_it_answers_what_is_printed_and_the_last_value(tool: Python) -> None:
    assert await text(tool, "print('six is')\nx = 3\nx * 2  # the value") == "six is\n6"
    assert await text(tool, "print(1, end='')\n'é'") == "1\n'é'"
    assert await text(tool, "x = 1; x + 1;") == "2"
    assert await text(tool, "import math\nmath.sqrt(\n  16,\n)") == "4.0"
    assert await text(tool, "print('no value')\nNone") == "no value"
    assert await text(tool, "x = 1") == "(no output)"


async def test_nothing_is_kept_between_calls(tool: Python) -> None:
    assert await text(tool, "kept = 1\nkept") == "1"
    assert "NameError" in await failure(tool, "kept")


async def test_an_error_shows_its_line_and_no_path_of_this_machine(tool: Python) -> None:
    said = await failure(tool, "print('before')\ndef f():\n    raise ValueError('no')\nf()")
    assert said.startswith("before\nTraceback")
    assert "line 3, in f" in said
    assert said.endswith("ValueError: no")
    assert "SyntaxError" in await failure(tool, "a b")
    said = await failure(tool, "import json\njson.loads('{')")
    assert "JSONDecodeError" in said
    assert "/usr/" not in said
    assert str(Path.home()) not in said


@pytest.mark.parametrize(
    "code",
    [
        "print(open('/etc/passwd').read())",
        f"print(open({__file__!r}).read())",
        "import os\nprint(os.listdir('/home'))",
        "import os\nprint(os.listdir(os.path.expanduser('~root')))\nraise OSError",
        "open('/usr/lib/x', 'w')",
        "open('/new', 'w')",
        "open('/dev/shm/x', 'w')",
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo out'], check=True)",
        "import os\nos.execv('/bin/sh', ['sh'])",
        "import ctypes\nassert ctypes.CDLL(None).system(b'/bin/true') == 0",
        "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
        "import os\nos.unshare(0x10000000)",
        "import os\nos.setuid(0)",
        "import resource as r\nr.setrlimit(r.RLIMIT_NPROC, (-1, -1))",
        "import os\nos.kill(1, 9)\nos.kill(os.getppid(), 9)\nraise OSError",
        "().__class__.__base__.__subclasses__()[-1].__init__.__globals__['secret']",
    ],
)
async def test_there_is_no_way_out(tool: Python, code: str) -> None:
    said = await failure(tool, code)
    assert "out\n" not in said
    assert "root:" not in said


async def test_the_environment_of_the_service_stays_outside(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "tvly-THESECRET")
    async with sandbox(engine) as tool:
        code = "import os\ntry:\n    print(dict(os.environ))\nexcept RuntimeError:\n    print('no')"
        assert "THESECRET" not in await text(tool, code)
        code = "print(open('/proc/self/environ').read(), open('/proc/1/environ').read())"
        try:
            assert "THESECRET" not in await text(tool, code)
        except ToolFailed as failed:
            assert "THESECRET" not in str(failed)


async def test_a_server_on_this_machine_cannot_be_reached(tool: Python) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        await failure(
            tool, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)"
        )
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "code",
    [
        "x = 'a' * 10**10",
        "x = [0] * 10\nwhile True:\n    x.append(x * 10)",
        "bytes(10**10)",
    ],
)
async def test_memory_is_bounded(engine: str, code: str) -> None:
    async with sandbox(engine, timeout_s=10) as tool:
        assert "MemoryError" in await failure(tool, code)


async def test_recursion_is_bounded(tool: Python) -> None:
    said = await failure(tool, "def f(n):\n    return f(n + 1)\nf(0)")
    assert "RecursionError" in said


async def test_an_endless_loop_is_stopped_by_the_clock(engine: str) -> None:
    async with sandbox(engine, timeout_s=1) as tool:
        said = await failure(tool, "print('began')\nwhile True: pass")
        assert said == "began\n[stopped: it did not finish within 1 s]"
        assert await text(tool, "1 + 1") == "2"


async def test_a_flood_of_output_is_stopped_and_what_came_is_kept(tool: Python) -> None:
    said = await failure(tool, "while True: print('x' * 1000)")
    assert said.startswith("x" * 1000)
    assert said.endswith("[stopped: it printed more than 2000 characters]")
    assert 2000 < len(said) < 2100


async def test_a_large_value_is_cut(tool: Python) -> None:
    assert await text(tool, "'x' * 1_000_000") == "'" + "x" * 1999


async def test_many_calls_at_once_wait_for_a_worker(engine: str) -> None:
    async with sandbox(engine, workers=2) as tool:
        async with asyncio.timeout(240):
            said = await asyncio.gather(*(text(tool, f"{number} * 2") for number in range(6)))
    assert said == ["0", "2", "4", "6", "8", "10"]


async def test_cancelling_ends_the_run_and_frees_the_worker(engine: str) -> None:
    async with sandbox(engine, workers=1) as tool, asyncio.timeout(240):
        before = busy()
        run = asyncio.ensure_future(text(tool, "while True: pass"))
        while not busy() - before:  # noqa: ASYNC110  only the system knows that it runs
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await text(tool, "1 + 1") == "2"


def busy() -> set[int]:
    """Processes below this one that have used a fifth of a second of a processor."""
    found = set()
    for one in psutil.Process().children(recursive=True):
        try:
            if one.cpu_times().user > 0.2:
                found.add(one.pid)
        except psutil.NoSuchProcess:
            pass
    return found


async def test_a_worker_that_dies_is_a_failed_call_and_no_more() -> None:
    async with sandbox("monty", workers=1) as tool, asyncio.timeout(240):
        before = busy()
        run = asyncio.ensure_future(failure(tool, "while True: pass"))
        while not (worker := busy() - before):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        psutil.Process(worker.pop()).kill()
        assert "the interpreter crashed" in await run
        assert await text(tool, "1 + 1") == "2"


def test_settings_of_a_jail_need_one() -> None:
    with pytest.raises(ValidationError, match="processes goes with engine bubblewrap"):
        PythonConfig(processes=3)
    whole = PythonConfig().model_dump(mode="json")
    assert PythonConfig.model_validate(whole) == PythonConfig()


async def test_it_is_served_only_where_it_is_listed() -> None:
    assert "python" not in ToolsServiceConfig().tools
    config = ToolsServiceConfig.model_validate({"tools": ["python"]})
    async with opened(config, {}) as (tool,):
        Registry([tool]).check(tool, {"code": "1"})
        assert tool.annotations.kind == "code"
        assert not tool.annotations.idempotent
        assert not tool.annotations.open_world
        with pytest.raises(ToolFailed, match="surrogate"):
            await tool.run({"code": "'\ud800'"}, NOBODY)


async def test_the_process_runs_code_and_ends_in_order(tmp_path: Path) -> None:
    """pydantic-monty's asynchronous pool would abort the process now and then."""
    async with asyncio.timeout(100), process(tmp_path, tools=["python"]) as running:
        async with Client(f"{running.url}/mcp") as client:
            good = await client.call_tool("python", {"code": "print('hi')\n6 * 7"})
            bad = await client.call_tool("python", {"code": "1 / 0"})
        assert isinstance(good.content[0], TextContent)
        assert isinstance(bad.content[0], TextContent)
        assert good.content[0].text == "hi\n42"
        assert bad.is_error
        assert "ZeroDivisionError" in bad.content[0].text
        assert await running.end(signal.SIGTERM) == 0
    assert not any("Traceback" in line for line in running.log)
