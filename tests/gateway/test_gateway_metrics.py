"""Every instrument moves."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Served, served
from tests.parts.tools import ScriptedTool, tools_service

HELLO = turn(text("Hel", "lo"))


async def page(it: Served) -> str:
    return (await it.ask("GET", "/metrics")).content.decode()


async def test_every_gauge_is_read_when_asked_for() -> None:
    gate = asyncio.Event()
    engine = ScriptedEngine([gate, *HELLO])
    async with served(engine, queue={"running": 1}) as it, asyncio.timeout(5):
        assert it.metric("engine_up", engine="zero") == 1
        first = asyncio.create_task(it.chat(session_id="a"))
        await engine.asked.wait()
        second = asyncio.create_task(it.chat(session_id="b"))
        while not it.metric("queue_depth"):
            await it.ask("GET", "/livez")
        assert it.metric("requests_running") == 1
        assert it.metric("session_groups") == 2
        assert it.metric("queue_oldest_seconds") > 0
        assert it.metric("sessions", phase="generating") == 1
        assert it.metric("sessions", phase="queued") == 1
        engine.kv_used_ratio = 0.5
        for name, value in (("ready", 1), ("requests", 1), ("programs", 1), ("kv_used_ratio", 0.5)):
            assert it.metric(f"engine_{name}", engine="zero") == value
        shown = await page(it)
        for name in ("queue_depth", "queue_oldest_seconds", "requests_running", "sessions"):
            assert f"# TYPE roundhouse_{name} gauge" in shown
        gate.set()
        await asyncio.gather(first, second)
        assert it.metric("sessions", phase="waiting_for_client") == 2
        engine.died.set()
        while it.metric("engine_up", engine="zero"):
            await it.ask("GET", "/livez")


async def test_the_process_and_its_event_loop_are_watched() -> None:
    async with served(ScriptedEngine(HELLO)) as it, asyncio.timeout(20):
        while not it.metric("event_loop_lag_seconds"):
            await it.ask("GET", "/livez")
        shown = await page(it)
    assert "# TYPE roundhouse_event_loop_lag_seconds gauge" in shown
    assert "process_start_time_seconds " in shown


async def test_every_counter_and_histogram_moves() -> None:
    mixed = turn(text("a", "b", "c"), call("search"), call("mine", index=1), reason="tool_calls")
    engine = ScriptedEngine(mixed, HELLO)
    own = {"type": "function", "function": {"name": "mine"}}
    tools = [{"type": "mcp", "server_label": "roundhouse"}, own]
    told = {"role": "assistant", "tool_calls": [{"id": "call-mine-1", "type": "function"}]}
    back = {"role": "tool", "tool_call_id": "call-mine-1", "content": "theirs"}
    async with tools_service(ScriptedTool()) as url, served(engine, tools={"url": url}) as it:
        before = _moving(it)
        await it.chat(tools=tools, stream=True)
        asked = {"role": "user", "content": "hi"}
        await it.chat(tools=tools, messages=[asked, told, back], parent_session_id="p")
    after = _moving(it)
    metrics = vars(it.gateway.metrics).keys() - {"registry", "engine_up"}
    moved = {name for name in metrics if after.get(name, 0) > before.get(name, 0)}
    assert moved == metrics


def _moving(it: Served) -> dict[str, float]:
    """How often each instrument has been used, by its name in the code."""
    return {
        name: sum(
            sample.value
            for family in instrument.collect()
            for sample in family.samples
            if sample.name.endswith(("_total", "_count"))
        )
        for name, instrument in vars(it.gateway.metrics).items()
        if name not in ("registry", "engine_up")
    }


async def test_the_times_of_an_answer_are_observed_once_for_each_piece() -> None:
    engine = ScriptedEngine(turn(text("a", "b", "c")))
    async with served(engine) as it:
        await it.chat(stream=True)
        await it.chat()
    assert it.metric("time_to_first_token_seconds_count", engine="zero") == 2
    assert it.metric("inter_token_seconds_count", engine="zero") == 2
    assert it.metric("queue_wait_seconds_count") == 2
    assert it.metric("request_seconds_count", endpoint="chat") == 2
    told = {kind: it.metric("tokens_total", engine="zero", kind=kind) for kind in KINDS}
    assert told == {"prompt": 6, "cached": 2, "completion": 4}


KINDS = ("prompt", "cached", "completion")


async def test_the_page_of_metrics_can_be_read_and_its_buckets_add_up() -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        await it.chat(stream=True)
        shown = await page(it)
    families = {family.name: family for family in text_string_to_metric_families(shown)}
    family = families["roundhouse_time_to_first_token_seconds"]
    assert family.type == "histogram"
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    counts = [sample.value for sample in buckets]
    assert counts == sorted(counts)
    assert (buckets[-1].labels["le"], counts[-1]) == ("+Inf", 1)


async def test_what_has_not_happened_is_told_as_0() -> None:
    """Prometheus saw no growth in a series that began with 1: the first failures woke nobody."""
    async with served(ScriptedEngine(HELLO)) as it:
        shown = await page(it)
    assert 'roundhouse_requests_total{endpoint="chat",outcome="engine_error"} 0.0' in shown


async def test_several_engines_metrics_are_one_family() -> None:
    async with served(ScriptedEngine(HELLO, name="a"), ScriptedEngine(HELLO, name="b")) as it:
        await it.chat()
        shown = await page(it)
    assert shown.count("# TYPE scripted_calls gauge") == 1
    assert 'scripted_calls{engine="a"} 1.0' in shown
    assert 'scripted_calls{engine="b"} 0.0' in shown
