"""Who gets which core."""

import os

from benchmarks.cores import Cores, busy_s, cpu_s, layout, usable


def test_on_two_cores_the_front_end_has_one_for_itself() -> None:
    assert layout({0, 1}) == Cores(front=0, engine=1, load=1, worker=1)


def test_on_four_cores_each_role_has_its_own() -> None:
    assert layout({4, 5, 6, 7}) == Cores(front=4, engine=5, load=6, worker=7)


def test_on_one_core_nothing_is_bound() -> None:
    assert layout({3}) is None


def test_cpu_time_of_a_process_only_grows() -> None:
    before = cpu_s([os.getpid()])
    sum(range(100_000))
    assert cpu_s([os.getpid()]) >= before > 0


def test_a_core_has_been_busy_for_some_time_by_now() -> None:
    assert busy_s(min(usable())) > 0
