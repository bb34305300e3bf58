"""Calls that run on as tasks, as their clients see them on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.conformance.fixture_tools import NAME, Fixture, asks, task
from tests.tools_service.task_stand_ins import ENDED, TASKS, Refused, TaskClient, client
from tests.tools_service.test_tokens import token
from tests.tools_service.tool_stand_ins import Act, Gate, Stand, act
from tools_service.config import ToolsServiceConfig
from tools_service.service import assemble, running
from tools_service.tools.asks import InputNeeded
from tools_service.tools.registry import Arguments, Context, Output, Progress


async def tell(arguments: Arguments, context: Context) -> Output:
    """Tells how far it is, then waits for ever."""
    await context.tell(Progress(3, 10, "pages"))
    await asyncio.Event().wait()
    return Output("never")


async def insist(arguments: Arguments, context: Context) -> Output:
    raise InputNeeded({"name": NAME}, "again")


async def meet(arguments: Arguments, context: Context) -> Output:
    """Asks twice, under the same key."""
    answers = context.inputs.answers
    if context.inputs.state == "twice":
        return Output(str(answers["name"]["content"]))
    raise InputNeeded({"name": NAME}, "twice" if answers else "once")


OPTIONAL = task("optional")
TOOLS = [
    Fixture("ask", asks("answered", name=NAME), annotations=OPTIONAL),
    Fixture("insist", insist, annotations=OPTIONAL),
    Fixture("meet", meet, annotations=OPTIONAL),
    Fixture("tell", tell, annotations=OPTIONAL),
]


def built(**settings: object) -> Stand:
    gate = Gate(annotations=OPTIONAL)
    whole = {"port": 0, "shutdown_s": 0, **settings}
    config = ToolsServiceConfig.model_validate(whole)
    return Stand(assemble(config, [gate, Act(act), *TOOLS], CollectorRegistry()), gate)


@pytest.fixture
async def service() -> AsyncIterator[Stand]:
    made = built()
    async with asyncio.timeout(240), running(made.parts) as made.url:
        yield made


@pytest.fixture
async def tasks(service: Stand) -> AsyncIterator[TaskClient]:
    async with client(service.url) as made:
        yield made


def said(result: dict[str, Any]) -> str:
    return str(result["content"][0]["text"])


async def test_a_call_goes_on_after_its_answer_and_is_measured_like_any(
    service: Stand, tasks: TaskClient
) -> None:
    id = await tasks.begin("gate")
    await service.gate.started.wait()
    working = await tasks.get(id)
    assert (working["status"], working["statusMessage"]) == ("working", "started")
    assert service.metric("tasks") == 1
    service.gate.opened.set()
    done = await tasks.until(id, *ENDED)
    assert said(done["result"]) == "opened"
    assert done["result"]["_meta"]["roundhouse/runtime"]["outcome"] == "ok"
    assert (done["createdAt"], "T" in done["lastUpdatedAt"]) == (working["createdAt"], True)
    assert service.metric("calls_total", tool="gate", outcome="ok") == 1
    assert service.metric("tasks") == 0


async def test_a_client_that_knows_no_tasks_gets_the_result(service: Stand) -> None:
    service.gate.opened.set()
    async with client(service.url, elicitation={}) as plain:
        assert said(await plain.call("gate")) == "opened"
        with pytest.raises(Refused) as refused:
            await plain.get("any")
    assert refused.value.code == -32021
    assert refused.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


@pytest.mark.parametrize(
    ("setting", "tool", "kind"), [(False, "gate", "complete"), (True, "act", "task")]
)
async def test_the_settings_decide_which_tools_run_as_tasks(
    setting: bool, tool: str, kind: str
) -> None:
    made = built(per_tool={tool: {"task": setting}})
    made.gate.opened.set()
    async with running(made.parts) as url, client(url) as tasks:
        assert (await tasks.call(tool, text="x"))["resultType"] == kind


async def test_a_task_is_there_for_its_caller_only() -> None:
    made = built(token="secret")
    async with (
        asyncio.timeout(240),
        running(made.parts) as url,
        client(url, token(sub="one")) as one,
        client(url, token(sub="two")) as two,
    ):
        id = await one.begin("gate")
        for method in ("get", "cancel", "update"):
            with pytest.raises(Refused, match="no such task") as refused:
                await two.ask(f"tasks/{method}", taskId=id, inputResponses={})
            assert refused.value.code == -32602
        assert (await one.get(id))["status"] == "working"


async def test_cancelling_stops_the_tool_and_frees_its_slot(
    service: Stand, tasks: TaskClient
) -> None:
    id = await tasks.begin("gate")
    await service.gate.started.wait()
    assert (await tasks.ask("tasks/cancel", taskId=id))["resultType"] == "complete"
    await service.gate.stopped.wait()
    ended = await tasks.until(id, *ENDED)
    assert (ended["status"], "result" in ended, "error" in ended) == ("cancelled", False, False)
    assert service.parts.executor.running == 0
    assert service.metric("calls_total", tool="gate", outcome="cancelled") == 1


async def test_a_task_that_waits_for_its_user_holds_no_slot(
    service: Stand, tasks: TaskClient
) -> None:
    id = await tasks.begin("ask")
    waiting = await tasks.until(id, "input_required")
    assert service.parts.executor.running == 0
    (key,) = waiting["inputRequests"]
    assert waiting["inputRequests"][key]["method"] == "elicitation/create"
    answers = {key: {"action": "accept", "content": {"name": "Ada"}}, "nobody-asked": {}}
    await tasks.ask("tasks/update", taskId=id, inputResponses=answers)
    assert "Ada" in said((await tasks.until(id, *ENDED))["result"])
    assert service.metric("calls_total", tool="ask", outcome="asked") == 1
    assert service.metric("calls_total", tool="ask", outcome="ok") == 1


async def test_no_key_is_used_for_two_questions(tasks: TaskClient) -> None:
    id = await tasks.begin("meet")
    seen: list[str] = []
    for name in ("Ada", "Grace"):
        waiting = await tasks.until(id, "input_required")
        (key,) = waiting["inputRequests"]
        seen.append(key)
        answer = {"action": "accept", "content": {"name": name}}
        await tasks.ask("tasks/update", taskId=id, inputResponses={key: answer})
    done = await tasks.until(id, *ENDED)
    assert len(set(seen)) == 2
    assert said(done["result"]) == "{'name': 'Grace'}"


async def test_a_tool_that_never_stops_asking_is_stopped(tasks: TaskClient) -> None:
    id = await tasks.begin("insist")
    while (state := await tasks.until(id, "input_required", *ENDED))["status"] not in ENDED:
        answers = {key: {"action": "accept"} for key in state["inputRequests"]}
        await tasks.ask("tasks/update", taskId=id, inputResponses=answers)
    assert (state["status"], state["error"]["code"]) == ("failed", -32603)
    assert "more than 16 times" in state["error"]["message"]


async def test_progress_is_seen_by_who_looks(tasks: TaskClient) -> None:
    id = await tasks.begin("tell")
    while (await tasks.get(id)).get("statusMessage") != "3 of 10: pages":
        pass
    await tasks.ask("tasks/cancel", taskId=id)


async def test_changes_are_told_to_who_listens(service: Stand, tasks: TaskClient) -> None:
    id = await tasks.begin("gate")
    await service.gate.started.wait()
    wanted = {"notifications": {"taskIds": [id, "nobody's"]}}
    heard: list[dict[str, Any]] = []
    async with tasks.post("subscriptions/listen", wanted) as response:
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            heard.append(json.loads(line[6:]))
            if len(heard) == 2:
                service.gate.opened.set()
    first, *states, last = heard
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["notifications"] == {"taskIds": [id]}
    assert {state["method"] for state in states} == {"notifications/tasks"}
    assert [state["params"]["status"] for state in states] == ["working", "completed"]
    assert said(states[-1]["params"]["result"]) == "opened"
    assert "result" in last


async def test_the_number_of_tasks_is_bounded_for_each_caller_and_for_all(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    made = built(token="secret", tasks={"per_caller": 1, "most": 2}, audit={"path": audit})
    async with (
        running(made.parts) as url,
        client(url, token(sub="one")) as one,
        client(url, token(sub="two")) as two,
        client(url, token(sub="three")) as three,
    ):
        await one.begin("gate")
        refused = await one.call("gate")
        assert (refused["isError"], "too many tasks" in said(refused)) == (True, True)
        assert made.metric("calls_total", tool="gate", outcome="refused") == 1
        await two.begin("gate")
        assert (await three.call("gate"))["isError"]
    # Those that were refused are written down like any other.
    outcomes = [json.loads(line)["outcome"] for line in audit.read_text().splitlines()]
    assert outcomes.count("refused") == 2


async def test_a_result_that_is_too_large_to_keep_is_an_error() -> None:
    made = built(tasks={"result_bytes": 2000}, per_tool={"act": {"task": True}})
    async with running(made.parts) as url, client(url) as tasks:
        done = await tasks.until(await tasks.begin("act", text="1500"), *ENDED)
    assert done["result"]["isError"]
    assert "more than a task may keep" in said(done["result"])


async def test_a_task_that_outlives_its_time_fails() -> None:
    made = built(tasks={"ttl_s": 0.05})
    async with asyncio.timeout(240), running(made.parts) as url, client(url) as tasks:
        ended = await tasks.until(await tasks.begin("gate"), *ENDED)
        assert made.parts.executor.running == 0
    assert (ended["status"], ended["error"]["code"]) == ("failed", -32603)
    assert "time to live" in ended["statusMessage"]


async def test_a_drain_ends_what_waits_for_its_user_and_lets_the_rest_end(
    service: Stand, tasks: TaskClient
) -> None:
    asking, running_on = await tasks.begin("ask"), await tasks.begin("gate")
    await tasks.until(asking, "input_required")
    await service.gate.started.wait()
    service.parts.tasks.drain()
    ended = await tasks.until(asking, *ENDED)
    assert (ended["status"], ended["error"]["code"]) == ("failed", -32603)
    assert "shutting down" in ended["statusMessage"]
    with pytest.raises(Refused, match="shutting down"):
        await tasks.call("gate")
    service.gate.opened.set()
    assert (await tasks.until(running_on, *ENDED))["status"] == "completed"


async def test_stopping_ends_every_task() -> None:
    made = built()
    async with asyncio.timeout(240), running(made.parts) as url, client(url) as tasks:
        await tasks.begin("gate")
        await made.gate.started.wait()
    assert made.gate.stopped.is_set()
    assert made.metric("tasks") == 0


async def test_the_header_must_name_the_task(service: Stand, tasks: TaskClient) -> None:
    id = await tasks.begin("gate")
    with pytest.raises(Refused, match="Mcp-Name") as refused:
        await tasks.ask("tasks/get", taskId=id, name="another")
    assert refused.value.code == -32020
    assert (await tasks.ask("tasks/get", taskId=id, name=f"{id} "))["taskId"] == id


async def test_a_client_that_leaves_does_not_take_its_task_along(service: Stand) -> None:
    async with client(service.url) as leaving:
        id = await leaving.begin("gate")
        await service.gate.started.wait()
    service.gate.opened.set()
    async with client(service.url) as back:
        assert (await back.until(id, *ENDED))["status"] == "completed"
