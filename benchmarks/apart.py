"""A measurement in a process of its own: its plan as JSON on stdin, its result on stdout."""

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import TypeVar

import msgspec
import uvloop

from benchmarks.cores import Cores, pin
from benchmarks.servers import ServerFailed
from benchmarks.variants import ROOT

P = TypeVar("P")
R = TypeVar("R")


def measured(
    module: str, plan: object, result: type[R], cores: Cores | None, *, nice: int = 0
) -> R:
    """Run a module that calls `serve`, on the load's core; raises ServerFailed.

    A `nice` one lets all others on its core go first.
    """
    argv = [*(("nice", "-n", str(nice)) if nice else ()), sys.executable, "-m", module]
    if cores is not None:
        argv += ["--core", str(cores.load)]
    done = subprocess.run(argv, input=msgspec.json.encode(plan), stdout=subprocess.PIPE, cwd=ROOT)
    if done.returncode:
        raise ServerFailed(f"{module} exited with {done.returncode}")
    return msgspec.json.decode(done.stdout, type=result)


def serve(plan: type[P], measure: Callable[[P], Coroutine[None, None, object]]) -> None:
    """Measure the plan on stdin, on the core that `--core` names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int)
    core = parser.parse_args().core
    if core is not None:
        pin(os.getpid(), core)
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=plan)
    # Samples are plain floats: a collection would only add pauses to what is measured.
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(given))))
