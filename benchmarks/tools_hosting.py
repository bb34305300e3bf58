"""A server in a process of its own, that lives as long as it is needed.

Such a program reads its settings from the first line of its input, writes its address as the first
line of its output, and ends with its input.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.variants import ROOT


@contextmanager
def hosted(command: Sequence[str], settings: str = "{}") -> Iterator[tuple[str, int]]:
    """(its URL, its pid)."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{settings}\n")
            process.stdin.flush()
            yield process.stdout.readline().strip(), process.pid
            process.stdin.close()
            process.wait(timeout=30)
        finally:
            process.kill()
