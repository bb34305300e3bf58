"""Server-side tools: one request in, tools run by the real tools service, one answer out."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from gateway.config import GatewayConfig
from tests.e2e.conftest import House, ToolsProcess, demo_config, house, tools_process

pytestmark = pytest.mark.real

MCP: Any = {
    "type": "mcp",
    "server_label": "roundhouse",
    "allowed_tools": ["calculate", "search"],
    "require_approval": "never",
}
SUM: list[Any] = [{"role": "user", "content": "What is 12 + 30?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def told(chunk: ChatCompletionChunk) -> dict[str, Any] | None:
    """The tool event of a chunk."""
    extension = (chunk.model_extra or {}).get("roundhouse")
    return dict(extension) if extension is not None else None


async def test_a_tool_runs_inside_the_request(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo", messages=SUM, tools=[MCP], temperature=0
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.tool_calls is None
    assert "42" in (answer.choices[0].message.content or "")
    report = (answer.model_extra or {})["roundhouse"]
    assert report["turns"] == 2
    assert report["stopped_by"] is None
    (call,) = report["tool_calls"]
    assert call["name"] == "calculate"
    assert call["outcome"] == "ok"
    assert json.loads(call["arguments"]) == {"expression": "12 + 30"}
    low, high = call["expected_s"]
    assert 0 < low < high
    assert call["run_s"] <= call["took_s"]


async def test_a_stream_tells_what_the_tool_does(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=SUM, tools=[MCP], temperature=0, stream=True
    )
    chunks = [chunk async for chunk in stream]
    events = [event for chunk in chunks if (event := told(chunk)) is not None]
    assert [event["event"] for event in events] == [
        "tool_call",
        "tool_started",
        "tool_finished",
        "report",
    ]
    assert len({event["id"] for event in events[:3]}) == 1
    assert events[1]["expected_s"][0] < events[1]["expected_s"][1]
    assert events[2]["bytes"] == len('{"result":42}') or events[2]["bytes"] > 0
    assert all(chunk.choices for chunk in chunks)
    assert "42" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
    assert ends == ["stop"]


async def test_parallel_tools_of_one_turn_all_run(client: openai.AsyncOpenAI) -> None:
    question = "Calculate 12 + 30, and also calculate 5 * 5"
    answer = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": question}],
        tools=[MCP],
        temperature=0,
    )
    report = (answer.model_extra or {})["roundhouse"]
    assert [call["outcome"] for call in report["tool_calls"]] == ["ok", "ok"]
    content = answer.choices[0].message.content or ""
    assert "42" in content
    assert "25" in content


async def test_search_answers_from_the_shipped_documents(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Search for prefix caching"}],
        tools=[MCP],
        temperature=0,
    )
    (call,) = (answer.model_extra or {})["roundhouse"]["tool_calls"]
    assert call["name"] == "search"
    assert call["outcome"] == "ok"
    assert call["bytes"] > 100


async def test_a_mixed_turn_loses_nothing_and_runs_nothing_twice(roundhouse: House) -> None:
    question = "What is the weather in Paris, and also calculate 12 + 30"
    messages: list[Any] = [{"role": "user", "content": question}]
    async with roundhouse.client() as client:
        first = await client.chat.completions.create(
            model="demo", messages=messages, tools=[WEATHER, MCP], temperature=0
        )
        (choice,) = first.choices
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "get_weather"
        (ran,) = (first.model_extra or {})["roundhouse"]["tool_calls"]
        assert ran["name"] == "calculate"
        messages.append(choice.message.model_dump(exclude_none=True))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        second = await client.chat.completions.create(
            model="demo", messages=messages, tools=[WEATHER, MCP], temperature=0
        )
    content = second.choices[0].message.content or ""
    assert "sunny" in content
    assert "42" in content
    assert (second.model_extra or {})["roundhouse"]["tool_calls"] == []


async def test_the_number_of_calls_is_bounded_and_reported(client: openai.AsyncOpenAI) -> None:
    question = "Calculate 12 + 30, and also calculate 5 * 5"
    answer = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": question}],
        tools=[MCP],
        temperature=0,
        max_tokens=200,
        extra_body={"max_tool_calls": 1},
    )
    report = (answer.model_extra or {})["roundhouse"]
    assert report["tool_call_count"] == 1
    assert report["stopped_by"] == "calls"
    assert [call["outcome"] for call in report["tool_calls"]] == ["ok", "refused"]


async def test_a_failed_tool_is_a_result_the_model_sees(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Calculate 1 / 0"}],
        tools=[MCP],
        temperature=0,
    )
    (call,) = (answer.model_extra or {})["roundhouse"]["tool_calls"]
    assert call["failed"]
    assert call["outcome"] == "error"
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"allowed_tools": ["teleport"]}, "teleport"),
        ({"server_label": "elsewhere"}, "roundhouse"),
        ({"require_approval": "always"}, "never"),
        ({"server_url": "http://example.com"}, "server_url"),
    ],
)
async def test_server_tools_that_cannot_be_had_are_refused(
    client: openai.AsyncOpenAI, entry: dict[str, Any], words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        await client.chat.completions.create(model="demo", messages=SUM, tools=[MCP | entry])


async def test_a_tools_service_that_is_down_is_said_or_done_without(
    tmp_path: Path, roundhouse: House
) -> None:
    async with tools_process(tmp_path) as tools:
        settings = {"url": f"{tools.url}/mcp", "list_ttl_s": 0}
        configs = [
            GatewayConfig.model_validate({"port": 0, "tools": {**settings, "when_down": choice}})
            for choice in ("error", "answer_without")
        ]
        async with house(configs[0], demo_config("one")) as says, says.client() as client:
            await client.chat.completions.create(model="demo", messages=SUM, tools=[MCP])
            await tools.kill()
            with pytest.raises(openai.InternalServerError) as down:
                await client.chat.completions.create(model="demo", messages=SUM, tools=[MCP])
            assert down.value.status_code == 503
            assert down.value.code == "tools_unavailable"
            plain = await client.chat.completions.create(model="demo", messages=SUM, max_tokens=5)
            assert plain.choices
        async with house(configs[1], demo_config("two")) as lenient, lenient.client() as client:
            answer = await client.chat.completions.create(
                model="demo", messages=SUM, tools=[MCP], max_tokens=60
            )
            assert (answer.model_extra or {})["roundhouse"]["tools_missing"]


async def test_langgraph_runs_its_own_tools_through_the_gateway(roundhouse: House) -> None:
    import httpx
    from langchain.agents import create_agent
    from langchain_core.messages import HumanMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    asked: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "sunny 21 degrees"

    model = ChatOpenAI(
        model="demo", base_url=f"{roundhouse.url}/v1", api_key=SecretStr("none"), temperature=0
    )
    agent = create_agent(model, [get_weather])
    result = await agent.ainvoke({"messages": [HumanMessage("What is the weather in Paris?")]})
    assert asked == ["Paris"]
    assert "sunny" in str(result["messages"][-1].content)
    async with httpx.AsyncClient(base_url=roundhouse.url) as http:
        (newest,) = (await http.get("/v1/sessions?limit=1")).json()["data"]
    assert (newest["requests"], newest["recognised_by"]) == (2, "tool_call")


async def test_a_tool_is_seen_in_the_metrics_of_both_processes(
    roundhouse: House, tools: ToolsProcess, client: openai.AsyncOpenAI
) -> None:
    import httpx

    await client.chat.completions.create(model="demo", messages=SUM, tools=[MCP], temperature=0)
    async with httpx.AsyncClient() as http:
        ours = (await http.get(f"{roundhouse.url}/metrics")).text
        theirs = (await http.get(f"{tools.url}/metrics")).text
    assert 'roundhouse_tool_calls_total{outcome="ok",tool="calculate"}' in ours
    assert 'roundhouse_tool_call_expected_seconds_count{tool="calculate"}' in ours
    assert 'roundhouse_tools_service_calls_total{outcome="ok",tool="calculate"}' in theirs
