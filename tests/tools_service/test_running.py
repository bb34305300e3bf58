"""What still runs, and how long it should still take."""

import asyncio
import json

from tests.tools_service.tool_stand_ins import stand
from tools_service.call import Call, Started
from tools_service.policy import Group
from tools_service.running import Running
from tools_service.runtimes import Key, Table
from tools_service.service import running

KEY = Key("gate", "any", "closed")


def test_a_call_that_has_run_for_long_is_expected_to_run_for_longer() -> None:
    now, table = 0.0, Table()
    for run_s in (1.0,) * 300 + (30.0,) * 100:
        table.observe(KEY, "ok", run_s, table.expected(KEY), 0.0)
    runs = Running(table, lambda: now)
    with runs.note(KEY, table.expected(KEY)):
        (young,) = runs
        now = 5.0
        (old,) = runs
    assert not list(runs)
    assert (young.age_s, old.age_s) == (0.0, 5.0)
    assert young.expected_s == table.expected(KEY).range_s
    assert 20 < old.remaining_s < 30
    assert old.remaining_s > young.remaining_s


async def test_running_calls_are_listed_for_who_knows_the_token() -> None:
    built = stand(token="t", shutdown_s=0)
    token = {"authorization": "Bearer t"}

    async def nobody(started: Started) -> None:
        """Nobody asked."""

    async with asyncio.timeout(20), running(built.parts) as built.url:
        work = built.parts.executor.call(Call("gate", {}, Group()), nobody)
        call = asyncio.create_task(work)
        await built.gate.started.wait()
        _, body = await built.get("/running", **token)
        (found,) = json.loads(body)["running"]
        assert (found["tool"], found["shape"]) == ("gate", "any")
        assert found["remaining_s"] > 0
        assert (await built.get("/running"))[0] == 401
        built.gate.opened.set()
        await call
        assert await built.get("/running", **token) == (200, '{"running":[]}')
