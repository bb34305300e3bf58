"""Agents of the frameworks people use, side by side with identical prompts, none of them named."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import smolagents
from deepagents import create_deep_agent
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.parts.served import served
from tests.parts.thinking import ANSWER, TOPICS, ThinkingEngine, said

SYSTEM = "You tell the weather."
QUESTION = "How is the weather in Berlin?"
RESEARCHER = "You are a researcher."
PLAIN: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def get_weather(city: str) -> str:
    """How the weather is.

    Args:
        city: Where.
    """
    return f"sunny in {city}"


async def openai_sdk(url: str, user: str) -> str:
    """A loop of one's own around the SDK, streamed."""
    messages: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
    ]
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        while True:
            async with client.chat.completions.stream(
                model="scripted", messages=messages, tools=[PLAIN], user=user
            ) as stream:
                message = (await stream.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            messages += [
                {
                    "role": "tool",
                    "tool_call_id": call.id,
                    "content": get_weather(json.loads(call.function.arguments)["city"]),
                }
                for call in message.tool_calls
            ]


async def deep_agents(url: str, user: str) -> str:
    """LangChain's agent with sub-agents."""
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        model = ChatOpenAI(
            model="scripted",
            api_key=None,
            model_kwargs={"user": user},
            root_async_client=client,
            async_client=client.chat.completions,
        )
        researcher: Any = {
            "name": "researcher",
            "description": "Researches one topic.",
            "system_prompt": RESEARCHER,
            "tools": [get_weather],
        }
        agent: Any = create_deep_agent(
            model, [get_weather], system_prompt=SYSTEM, subagents=[researcher]
        )
        asked = {"messages": [{"role": "user", "content": QUESTION}]}
        return str((await agent.ainvoke(asked))["messages"][-1].content)


async def pydantic_ai(url: str, user: str) -> str:
    """pydantic-ai, which writes arguments anew."""
    async with AsyncOpenAI(base_url=url, api_key="none") as client:
        model = OpenAIChatModel("scripted", provider=OpenAIProvider(openai_client=client))
        agent = Agent(model, instructions=SYSTEM, tools=[get_weather])
        answer = await agent.run(QUESTION, model_settings={"extra_body": {"user": user}})
        return answer.output


async def smol_agents(url: str, user: str) -> str:
    """smolagents, which sends calls and results as text."""

    def run() -> str:
        model = smolagents.OpenAIModel("scripted", api_base=url, api_key="none", user=user)
        tool = smolagents.tool(get_weather)
        agent = smolagents.ToolCallingAgent(
            tools=[tool], model=model, instructions=SYSTEM, max_steps=5, verbosity_level=0
        )
        try:
            return str(agent.run(QUESTION))
        finally:
            model.client.close()

    return await asyncio.to_thread(run)


RUNS: dict[str, Callable[[str, str], Awaitable[str]]] = {
    "deep": deep_agents,
    "sdk 1": openai_sdk,
    "sdk 2": openai_sdk,
    "pydantic 1": pydantic_ai,
    "pydantic 2": pydantic_ai,
    "smol 1": smol_agents,
    "smol 2": smol_agents,
}


async def test_agents_side_by_side_are_each_one_session_and_sub_agents_have_their_parent() -> None:
    engine = ThinkingEngine(expected=len(RUNS))
    async with served(engine) as it, asyncio.timeout(90):
        answers = await asyncio.gather(*(run(f"{it.url}/v1", user) for user, run in RUNS.items()))
        assert list(answers) == [ANSWER] * len(RUNS)
        sessions = _sessions(engine)
        begun = {(user, "main") for user in RUNS} | {("deep", topic) for topic in TOPICS}
        assert sessions.keys() == begun
        assert all(len(found) == 1 for found in sessions.values()), "a conversation was split"
        assert len(set.union(*sessions.values())) == len(begun), "conversations were merged"
        ids: dict[str | None, str] = {
            session.alias: session.id for session in it.gateway.sessions.latest(100)
        }
        (main,) = sessions["deep", "main"]
        for (session,) in (sessions["deep", topic] for topic in TOPICS):
            shown = (await it.ask("GET", f"/v1/sessions/{ids[session]}")).json
            assert shown["parent"] == shown["group"] == ids[main]
    assert it.metric("sub_agents_linked_total") == len(TOPICS)
    assert it.metric("sessions_recognised_total", by="new") == len(begun)
    others = len(engine.calls) - len(begun)
    assert it.metric("sessions_recognised_total", by="tool_call") == others


def _sessions(engine: ThinkingEngine) -> dict[tuple[str, str], set[str | None]]:
    """The sessions of each conversation, by the user its client said it is and its first words."""
    found: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for call in engine.calls:
        body: Any = call.body
        first = next(said(message) for message in body["messages"] if message["role"] == "user")
        found[body["user"], first if first in TOPICS else "main"].add(call.session)
    return found
