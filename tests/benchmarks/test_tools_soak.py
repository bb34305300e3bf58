"""The soak: what counts as flat."""

import asyncio
import sys

import pytest

from benchmarks.tools_hosting import hosted
from benchmarks.tools_soak import Sample, Soak, findings, markdown, slope


def samples(mib_per_hour: float, *, files: int = 20, tasks: float = 5) -> list[Sample]:
    return [
        Sample(at_s, at_s * 10, 80 + mib_per_hour * at_s / 3600, files, tasks, 65)
        for at_s in range(0, 3601, 60)
    ]


def test_the_slope_is_that_of_the_memory_after_the_warm_up() -> None:
    assert slope(samples(30.0)) == pytest.approx(30.0)
    jump = [Sample(0, 0, 10.0, 20, 5, 65), *samples(0.0)[1:]]
    assert slope(jump) == pytest.approx(0.0)


def test_what_grows_is_found() -> None:
    assert all(one.met for one in findings(samples(5.0), failed=0))
    grown = findings(samples(500.0), failed=2)
    assert [one.met for one in grown] == [False, True, True, True, False]
    assert "| nothing is left when the load ends | 20 files, 50 tasks | **missed** |" in markdown(
        samples(0.0, tasks=50), findings(samples(0.0, tasks=50), failed=0), {}
    )


def test_a_short_soak_of_the_real_service_ends_as_every_call_should() -> None:
    with hosted([sys.executable, "-m", "benchmarks.tools_soaked"], '{"port": 0}') as (url, pid):
        soak = Soak(url, pid, minutes=0.02)
        found = asyncio.run(soak.run(every_s=0.5))
    assert soak.calls > 0
    assert soak.failed == 0
    assert found[-1].rss_mib > 0
    assert found[-1].rows <= 65
