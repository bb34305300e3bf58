"""Plays runs, one a line of standard input, and writes their rows: `python -m
benchmarks.agents.worker`. A process of its own, so that nothing else in the benchmarks needs vLLM.
"""

import gc
import os
import sys
import time

import msgspec

from benchmarks.agents.policies import named
from benchmarks.agents.runs import Job, Row
from benchmarks.agents.simulation import Scene, Simulation
from benchmarks.agents.tally import arriving, tally


def play(job: Job) -> list[Row]:
    """One run, told for each of its loads."""
    began_s = time.process_time()
    workload, policy = job.workload, named(job.policy)
    costs, scripts = workload.costs, workload.scripts(job.seed)
    live = {load: workload.live(load, scripts) for load in job.loads}
    cap = None if policy.cap_load is None else workload.live(policy.cap_load, scripts)
    if cap is not None:
        live = {load: count for load, count in live.items() if count > cap}
    if not live:
        return []
    if workload.is_open:
        (load,) = job.loads
        starts_s = workload.starts(live[load], scripts, job.seed)
        scene = Scene(costs, scripts, job.seed, live[load], starts_s, cap, workload.scale)
    else:
        # More than the cap at once only wait longer: what is played is the same.
        scene = Scene(costs, scripts, job.seed, cap or max(live.values()), scale=workload.scale)
    played = Simulation(scene, policy).run()
    rows = []
    for load, count in live.items():
        told = played if workload.is_open else arriving(played, count)
        cpu_s = time.process_time() - began_s
        rows.append(Row(policy.name, load, job.seed, tally(told, count, cpu_s)))
    return rows


def _main() -> None:
    # vLLM prints; what goes to the parent must be rows alone.
    rows_out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    gc.disable()  # nothing of a run goes in cycles but its scheduler, which is swept up below
    for line in sys.stdin.buffer:
        rows = play(msgspec.json.decode(line, type=Job))
        rows_out.write(msgspec.json.encode(rows) + b"\n")
        rows_out.flush()
        gc.collect()


if __name__ == "__main__":
    _main()
