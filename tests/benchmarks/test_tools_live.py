"""The benchmark of the running service."""

import asyncio

import pytest

from benchmarks.tools_drive import CallFailed, drive, measured
from benchmarks.tools_live import sleeping
from benchmarks.tools_workload import Load, ToolCall, Turn, trace
from tools_service.runtimes import Key

LOAD = Load(0.5, turns=12, seed=1, slots=2, pace=0.001)


def test_a_running_service_plays_every_turn() -> None:
    turns = trace(LOAD)
    with sleeping("group", LOAD) as url:
        played = asyncio.run(drive(url, turns))
        unknown = Turn(0.0, (ToolCall(Key("unknown", "s0", "open"), 0.0),))
        with pytest.raises(ExceptionGroup) as caught:
            asyncio.run(drive(url, [unknown]))
    assert [len(one.turn.calls) for one in played] == [len(turn.calls) for turn in turns]
    for one, turn in zip(played, turns, strict=True):
        # A loop's timers tick in milliseconds.
        assert one.took_s >= one.turn.least_s >= turn.least_s - 0.002
    assert measured(played, 0.25).turn_mean_s == pytest.approx(
        sum(one.took_s for one in played[3:]) / 9
    )
    assert caught.group_contains(CallFailed, match="unknown tool")
