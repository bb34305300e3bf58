"""Labels keep few values: nothing a client writes becomes one, in neither process."""

import json
from collections.abc import AsyncIterator
from typing import cast

import pytest_asyncio
from mcp import Client
from mcp_types import RequestParamsMeta
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import call, text, turn
from tests.parts.served import Served, served
from tests.tools_service.tool_stand_ins import Stand, stand
from tools_service.service import running

STRANGE = "strange"
"""In everything the clients of these tests write, wherever they may."""

CHAT = "/v1/chat/completions"
OURS = {
    *("endpoint", "outcome", "engine", "kind", "tool", "phase", "continuity"),
    *("upstream", "inside", "end", "way", "by", "reason", "stand", "after", "le"),
}
PYTHONS = {"generation", "implementation", "major", "minor", "patchlevel", "version"}


@pytest_asyncio.fixture
async def house() -> AsyncIterator[tuple[Served, Stand]]:
    arguments = json.dumps({"text": f"{STRANGE} text"})
    calls = turn(
        *(call("act", arguments, id="a"), call(f"{STRANGE}_tool", "{}", index=1, id="b")),
        *(call("act", f"{STRANGE} JSON", index=2, id="c"),),
        reason="tool_calls",
    )
    engine = ScriptedEngine(calls, turn(text("done")))
    tools = stand(shutdown_s=0)
    async with running(tools.parts) as tools.url, served(engine, tools={"url": tools.mcp}) as it:
        yield it, tools


async def test_no_label_says_what_a_client_wrote(house: tuple[Served, Stand]) -> None:
    it, tools = house
    await _chat_strangely(it)
    await _call_strangely(tools)
    samples = await _samples(it, tools)
    assert _value(samples, "roundhouse_requests_total", outcome="ok")
    assert _value(samples, "roundhouse_tools_service_calls_total", tool="act", outcome="ok")
    assert _value(samples, "roundhouse_tools_service_calls_total", tool="unknown")
    for sample in samples:
        assert not [value for value in sample.labels.values() if STRANGE in value.lower()], sample


async def test_labels_have_names_that_somebody_has_thought_about(
    house: tuple[Served, Stand],
) -> None:
    """A new label is added here, by somebody who knows that it has few values."""
    it, tools = house
    await _chat_strangely(it)
    await _call_strangely(tools)
    names = {name for sample in await _samples(it, tools) for name in sample.labels}
    assert names - PYTHONS <= OURS


async def _chat_strangely(it: Served) -> None:
    mcp = {"type": "mcp", "server_label": "roundhouse"}
    own = {"type": "function", "function": {"name": f"{STRANGE}_own"}}
    said = {"role": "user", "content": STRANGE, "name": STRANGE}
    body = {"messages": [said], "tools": [mcp, own], "user": STRANGE, "prompt_cache_key": STRANGE}
    named = {"x_roundhouse_session": STRANGE, "x_roundhouse_group": STRANGE, "user_agent": STRANGE}
    assert (await it.ask("POST", CHAT, body, **named)).status == 200
    assert (
        await it.ask("POST", CHAT, {**body, "session_id": STRANGE, "stream": True})
    ).status == 200
    wrongs = (
        {**body, "model": STRANGE},
        {**body, STRANGE: STRANGE},
        {**body, "tools": [{**mcp, "allowed_tools": [STRANGE]}]},
        {**body, "tools": [{**mcp, "server_label": STRANGE}]},
        STRANGE.encode(),
    )
    for wrong in wrongs:
        await it.ask("POST", CHAT, wrong)
    await it.ask("POST", f"/v1/{STRANGE}", body)
    await it.ask("GET", f"/v1/models/{STRANGE}", authorization=f"Bearer {STRANGE}")


async def _call_strangely(tools: Stand) -> None:
    told = {"roundhouse/session": STRANGE, "roundhouse/group": {"id": STRANGE, "size": 1}}
    meta = cast(RequestParamsMeta, told)
    async with Client(tools.mcp) as client:
        await client.call_tool("act", {"text": STRANGE}, meta=meta)
        await client.call_tool("act", {STRANGE: STRANGE})
        for name in (STRANGE, f"{STRANGE}_2"):
            assert (await client.call_tool(name, {})).is_error
    await tools.get(f"/{STRANGE}", authorization=f"Bearer {STRANGE}")


async def _samples(it: Served, tools: Stand) -> list[Sample]:
    """All samples of both pages."""
    pages = ((await it.ask("GET", "/metrics")).content.decode(), (await tools.get("/metrics"))[1])
    return [
        sample
        for page in pages
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


def _value(samples: list[Sample], name: str, **labels: str) -> float:
    """The sum of what has this name and these labels."""
    chosen = (one for one in samples if one.name == name and labels.items() <= one.labels.items())
    return sum(sample.value for sample in chosen)
