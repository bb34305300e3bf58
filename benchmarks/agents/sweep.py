"""Runs every policy at every load with every seed, several at a time; goes on where it stopped."""

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import msgspec

from benchmarks.agents.policies import POLICIES, Policy, capped
from benchmarks.agents.simulation import Scene, Simulation
from benchmarks.agents.tally import Outcome, arriving, tally
from benchmarks.agents.workload import Workload, live


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results."""

    policy: str
    load: float
    seed: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Job:
    """One run. A cap is played once, and told for all loads above it."""

    policy: Policy
    loads: tuple[float, ...]
    seed: int


def jobs(
    policies: Sequence[str], caps: Sequence[float], loads: Sequence[float], seeds: Sequence[int]
) -> Iterator[Job]:
    """All runs; caps are told as loads, and become sessions with the seed's sessions."""
    for seed in seeds:
        for share in caps:
            yield Job(capped(share), tuple(loads), seed)
        for load, name in itertools.product(loads, policies):
            yield Job(POLICIES[name], (load,), seed)


def play(workload: Workload, job: Job) -> list[Row]:
    """One run, told for each of its loads."""
    began_s = time.process_time()
    scripts, costs = workload.scripts(job.seed), workload.costs
    counts = {load: live(load, scripts, costs.pool) for load in job.loads}
    policy, most = job.policy, max(counts.values())
    if policy.cap_load is not None:
        cap = live(policy.cap_load, scripts, costs.pool)
        counts = {load: count for load, count in counts.items() if count > cap}
        if not counts:
            return []
        most = cap
    scene = Scene(costs, scripts, most, job.seed, workload.scale)
    played = Simulation(scene, policy).run()
    took_s = time.process_time() - began_s
    return [
        Row(policy.name, load, job.seed, tally(arriving(played, count), count, took_s))
        for load, count in counts.items()
    ]


def sweep(
    workload: Workload, todo: Sequence[Job], out: Path, processes: int
) -> Iterator[list[Row]]:
    """Run what the file lacks; each run's rows are appended to it as they come."""
    done = {(row.policy, row.seed, row.load) for row in load_rows(out)}
    left = [
        job
        for job in todo
        if not any((job.policy.name, job.seed, load) in done for load in job.loads)
    ]
    encode = msgspec.json.Encoder().encode
    # spawn: vLLM starts threads, and a fork would copy their locks.
    with (
        out.open("ab") as lines,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool,
    ):
        for future in as_completed([pool.submit(play, workload, job) for job in left]):
            rows = future.result()
            for row in rows:
                lines.write(encode(row) + b"\n")
            lines.flush()
            yield rows


def load_rows(path: Path) -> list[Row]:
    """The rows of a results file; none if there isn't one."""
    if not path.exists():
        return []
    decode = msgspec.json.Decoder(Row).decode
    return [decode(line) for line in path.read_bytes().splitlines() if line]
