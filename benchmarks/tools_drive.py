"""Turns of tool calls, sent to a running service when their time comes by the gateway's client."""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.tools_workload import ToolCall, Turn
from benchmarks.tools_world import Outcome, summary
from gateway.events import ToolGroup, ToolOutcome
from gateway.tool_client import ToolClient, ToolClientConfig

_TIMEOUT_S = 600.0


class CallFailed(Exception):
    """A call that should have slept did something else; the run is worth nothing."""


@dataclass(frozen=True, slots=True)
class Played:
    """One turn as it really was: when it came, how long its calls ran, waited, and it took."""

    turn: Turn
    waits_s: list[float]
    took_s: float


async def drive(url: str, turns: Sequence[Turn]) -> list[Played]:
    """Plays a workload in real time."""
    async with ToolClient(ToolClientConfig(f"{url}/mcp", connections=4096)) as client:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with asyncio.TaskGroup() as tasks:
            playing = []
            for number, turn in enumerate(turns):
                await asyncio.sleep(began_s + turn.at_s - clock())
                work = _play(client, number, replace(turn, at_s=clock() - began_s))
                playing.append(tasks.create_task(work))
    return [task.result() for task in playing]


async def _play(client: ToolClient, number: int, turn: Turn) -> Played:
    clock = asyncio.get_running_loop().time
    began_s = clock()
    group = ToolGroup(f"g{number}", len(turn.calls))
    outcomes = await asyncio.gather(*(_call(client, group, call) for call in turn.calls))
    took_s = clock() - began_s
    pairs = zip(turn.calls, outcomes, strict=True)
    calls = tuple(replace(call, run_s=outcome.run_s) for call, outcome in pairs)
    return Played(replace(turn, calls=calls), [outcome.wait_s for outcome in outcomes], took_s)


def measured(played: Sequence[Played], dropped: float) -> Outcome:
    """The figures of a run; the first `dropped` share of it is not counted."""
    counted = played[int(len(played) * dropped) :]
    return summary(
        sorted(wait_s for one in counted for wait_s in one.waits_s),
        sorted(one.took_s for one in counted),
        least_s=statistics.fmean(one.turn.least_s for one in counted),
        bound_share=0.0,
    )


async def _call(client: ToolClient, group: ToolGroup, call: ToolCall) -> ToolOutcome:
    arguments = {"shape": call.key.shape, "run_s": call.run_s}
    events = client.call(
        call.key.tool, arguments, session="bench", group=group, timeout_s=_TIMEOUT_S
    )
    async for event in events:
        if isinstance(event, ToolOutcome) and event.outcome == "ok":
            return event
        if isinstance(event, ToolOutcome):
            raise CallFailed(event.text)
    raise CallFailed("no result")
