"""Which process runs on which core, and how much CPU time it has used."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of one measurement; on two cores, all but the front end share the second."""

    front: int
    engine: int
    load: int
    worker: int


def layout(available: Iterable[int]) -> Cores | None:
    """Give out `available` cores, None where there is one core only and nothing to choose."""
    cores = sorted(available)
    if len(cores) < 2:
        return None
    rest = [*cores[1:], *[cores[-1]] * 3]
    return Cores(front=cores[0], engine=rest[0], load=rest[1], worker=rest[2])


def usable() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0)


def pin(pid: int, core: int) -> None:
    """Bind every thread of a process to one core; threads started later inherit it."""
    for thread in psutil.Process(pid).threads():
        try:
            os.sched_setaffinity(thread.id, {core})
        except ProcessLookupError:
            continue  # a thread that ended since it was listed


def cpu_s(pids: Iterable[int]) -> float:
    """CPU time of these processes so far, user and system, in seconds."""
    total = 0.0
    for pid in pids:
        times = psutil.Process(pid).cpu_times()
        total += times.user + times.system
    return total


def busy_s(core: int) -> float:
    """How long a core has worked so far, for whomever, in seconds."""
    times = psutil.cpu_times(percpu=True)[core]
    return sum(times) - times.guest - times.guest_nice - times.idle - times.iowait
