"""DeepAgents that tell the gateway who they are."""

import asyncio
from typing import Any

from deepagents import create_deep_agent
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI

from research_agents.agent_names import AgentNames
from tests.parts.served import Served, served
from tests.parts.thinking import TOPICS, ThinkingEngine


def internet_search(query: str) -> str:
    """Search."""
    return f"results for {query}"


async def run(it: Served, config: Any) -> None:
    """One run of an agent with a researcher, both with their names."""
    async with AsyncOpenAI(base_url=f"{it.url}/v1", api_key="none") as client:
        model: Any = ChatOpenAI(
            model="scripted",
            api_key=None,
            root_async_client=client,
            async_client=client.chat.completions,
        )
        researcher: Any = {
            "name": "researcher",
            "description": "Researches one topic.",
            "system_prompt": "You are a researcher.",
            "tools": [internet_search],
            "middleware": [AgentNames("researcher")],
        }
        agent: Any = create_deep_agent(
            model,
            [internet_search],
            system_prompt="You lead.",
            subagents=[researcher],
            middleware=[AgentNames("lead")],
        )
        await agent.ainvoke({"messages": [{"role": "user", "content": "What is X?"}]}, config)


async def test_a_thread_is_a_session_and_each_of_its_sub_agents_one_below_it() -> None:
    engine = ThinkingEngine(expected=1)
    async with served(engine) as it, asyncio.timeout(60):
        for thread in ("one", "two"):
            await run(it, {"configurable": {"thread_id": thread}})
        sessions = (await it.ask("GET", "/v1/sessions")).json["data"]
    assert len(sessions) == 2 * (1 + len(TOPICS))
    for session in sessions:
        thread, _, instance = session["id"].partition("/")
        assert session["agent"] == ("researcher" if instance else "lead")
        assert session["parent"] == (thread if instance else None)
        assert session["group"] == thread
        assert session["recognised_by"] == "name"


async def test_without_a_thread_the_names_are_sent_and_the_sessions_are_recognised() -> None:
    engine = ThinkingEngine(expected=1)
    async with served(engine) as it, asyncio.timeout(60):
        await run(it, None)
        sessions = (await it.ask("GET", "/v1/sessions")).json["data"]
    (lead,) = [session for session in sessions if session["agent"] == "lead"]
    researchers = [session for session in sessions if session["agent"] == "researcher"]
    assert [session["parent"] for session in researchers] == [lead["id"]] * len(TOPICS)
