"""Tool calls weigh by the KV cache that waits for them, in the queue of the real tools service."""

import asyncio
import json

import pytest

from engine.types import Usage
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.tools_service.tool_stand_ins import Act, stand
from tools_service.service import running

MCP = {"type": "mcp", "server_label": "roundhouse"}
USED = Usage(prompt_tokens=50, completion_tokens=10)
NEARLY_FULL, LARGE = 12_000, 1_000_000


def note(who: str) -> list[Step]:
    return turn(call("note", json.dumps({"text": who})), reason="tool_calls", usage=USED)


async def started_in(pool: int, weigh_kv: bool) -> list[str]:
    """The order in which the calls of a small and then of a large session have run."""
    order: list[str] = []

    def run(text: str) -> str:
        order.append(text)
        return text

    service = stand(Act(run, "note"), slots=1, reserve=0, shutdown_s=0)
    engine = ScriptedEngine(
        turn(call("gate"), reason="tool_calls", usage=USED),
        note("small"),
        note("large"),
        turn(text("so")),
    )
    engine.kv_tokens = pool
    async with running(service.parts) as service.url, asyncio.TaskGroup() as asking:
        tools = {"url": service.mcp, "weigh_kv": weigh_kv}
        async with served(engine, tools=tools) as it, asyncio.timeout(10):
            tasks = [asking.create_task(_ask(it, "blocker", 1))]
            await service.gate.started.wait()
            for waiting, (session, words) in enumerate((("small", 1), ("large", 6000)), 1):
                tasks.append(asking.create_task(_ask(it, session, words)))
                while service.metric("waiting") < waiting:
                    await it.ask("GET", "/livez")
            service.gate.opened.set()
            assert [(await task).status for task in tasks] == [200] * 3
    return order


async def _ask(it: Served, session: str, words: int) -> Answer:
    messages = [{"role": "user", "content": "abc " * words}]
    return await it.chat(messages=messages, session_id=session, tools=[MCP])


async def test_the_call_for_which_more_of_a_full_cache_waits_runs_first() -> None:
    assert await started_in(NEARLY_FULL, weigh_kv=True) == ["large", "small"]


@pytest.mark.parametrize(("pool", "weigh_kv"), [(LARGE, True), (NEARLY_FULL, False)])
async def test_with_room_in_the_cache_or_unweighed_they_run_as_they_came(
    pool: int, weigh_kv: bool
) -> None:
    assert await started_in(pool, weigh_kv) == ["small", "large"]
