"""What is run, what comes of it, and the file that keeps it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.agents.tally import Outcome
from benchmarks.agents.workload import Workload


class BadResults(Exception):
    """A results file can't be gone on with; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run. A cap in the closed loop is played once, and told for all loads above it."""

    workload: Workload
    policy: str
    loads: tuple[float, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Row:
    """One policy at one load with one seed."""

    policy: str
    load: float
    seed: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every policy at every load with every seed; caps as far as a load is above them."""

    policies: Sequence[str]
    caps: Sequence[str]
    loads: Sequence[float]
    seeds: Sequence[int]

    def jobs(self, workload: Workload) -> Iterator[Job]:
        """All runs, in an order that gives whole seeds early."""
        for seed in self.seeds:
            if workload.is_open:
                names = itertools.product((*self.caps, *self.policies), self.loads)
                yield from (Job(workload, name, (load,), seed) for name, load in names)
                continue
            yield from (Job(workload, name, tuple(self.loads), seed) for name in self.caps)
            for load, name in itertools.product(self.loads, self.policies):
                yield Job(workload, name, (load,), seed)


class Results:
    """A file of rows, one a line, behind the workload that they belong to."""

    def __init__(self, path: Path, workload: Workload) -> None:
        """Raises BadResults if the file holds another workload's rows."""
        self.rows: list[Row] = []
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        lines = path.read_bytes().splitlines() if path.exists() else []
        if not lines:
            path.write_bytes(self._encode(workload) + b"\n")
            return
        try:
            if msgspec.json.decode(lines[0], type=Workload) != workload:
                raise BadResults(f"{path} holds runs of another workload; name another --out")
            self.rows = [msgspec.json.decode(line, type=Row) for line in lines[1:]]
        except msgspec.MsgspecError as error:
            raise BadResults(f"{path} can't be read ({error}); name another --out") from error

    def add(self, rows: Sequence[Row]) -> None:
        """Keep what a run has brought."""
        self.rows += rows
        with self._path.open("ab") as lines:
            lines.writelines(self._encode(row) + b"\n" for row in rows)

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The runs whose rows are not there."""
        done = {(row.policy, row.seed, row.load) for row in self.rows}
        # A cap has no row at loads below it: at the highest one it has, if anywhere.
        return [job for job in jobs if (job.policy, job.seed, max(job.loads)) not in done]
