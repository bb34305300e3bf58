"""How the death of a process is told."""

import asyncio
import os
import sys

import pytest

from roundhouse.child import Child, Program, ending, telling
from roundhouse.errors import ChildDied


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ([], ""),
        (["loading", "bye"], "bye"),
        (["KeyError: 'a'", "INFO bye"], "KeyError: 'a'"),
        (["ValueError: first", "OSError: then"], "OSError: then"),
        (
            ["OSError: no such model", "RuntimeError: failed. See root cause above."],
            "OSError: no such model",
        ),
        (["Traceback (most recent call last):", "  File x"], "File x"),
    ],
)
def test_the_most_telling_line_is_the_last_that_names_an_error(tail: list[str], line: str) -> None:
    assert telling(tail) == line


def test_an_exit_code_and_a_signal_are_told_apart() -> None:
    assert ending(3) == "ended with exit code 3"
    assert ending(-9) == "was killed by SIGKILL"
    assert ending(-40) == "was killed by signal 40"


@pytest.mark.parametrize(
    ("code", "said", "remedy"),
    [
        ("1", "OSError: [Errno 98] Address already in use", "--port"),
        ("1", "torch.OutOfMemoryError: CUDA out of memory.", "kv_cache_gib"),
        ("1", "ModuleNotFoundError: No module named 'mcp'", "scripts/install"),
        ("1", "something else", "roundhouse doctor"),
        ("9", "nothing", "out of memory"),
    ],
)
async def test_a_death_comes_with_what_to_do(code: str, said: str, remedy: str) -> None:
    script = f"import os; os.write(2, {said!r}.encode()); "
    script += "os.kill(os.getpid(), 9)" if code == "9" else f"os._exit({code})"
    with pytest.raises(ChildDied) as caught:
        await watch(script)
    assert said in str(caught.value)
    assert remedy in caught.value.remedy


async def test_only_the_last_lines_are_kept_and_colours_are_not() -> None:
    child = await watch_to_end("for n in range(500): print(f'\\x1b[31mline {n}\\x1b[0m')")
    assert (child.tail[0], child.tail[-1], len(child.tail)) == ("line 400", "line 499", 100)


async def test_a_line_of_any_length_is_taken_whole() -> None:
    child = await watch_to_end("print('x' * 300_000)")
    assert [len(line) for line in child.tail] == [300_000]


async def watch(script: str) -> None:
    child = await Child.start(Program("gateway", [sys.executable, "-c", script], os.environ))
    async with asyncio.timeout(30):
        await asyncio.gather(child.follow(lambda name, line: None), child.died())


async def watch_to_end(script: str) -> Child:
    child = await Child.start(Program("gateway", [sys.executable, "-c", script], os.environ))
    async with asyncio.timeout(30):
        await child.follow(lambda name, line: None)
        await child.process.wait()
    return child
