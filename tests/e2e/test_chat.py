"""OpenAI's chat API on the real engine, through the real SDK."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.e2e.conftest import House

pytestmark = pytest.mark.real

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
PARIS: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]


async def test_a_plain_chat_is_answered_with_usage(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="demo", messages=HELLO, temperature=0)
    (choice,) = answer.choices
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.model == "demo"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_streamed_chat_says_what_the_whole_one_says(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="demo", messages=HELLO, temperature=0)
    stream = await client.chat.completions.create(
        model="demo",
        messages=HELLO,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


async def test_without_usage_asked_for_no_chunk_lacks_a_choice(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="demo", messages=HELLO, stream=True)
    assert all([bool(chunk.choices) async for chunk in stream])


async def test_the_model_calls_a_tool_of_the_client(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo", messages=PARIS, tools=[WEATHER], temperature=0
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


async def test_a_streamed_tool_call_is_the_same_call(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo", messages=PARIS, tools=[WEATHER], temperature=0, stream=True
    )
    chunks: list[ChatCompletionChunk] = [chunk async for chunk in stream]
    pieces = [call for c in chunks for call in c.choices[0].delta.tool_calls or ()]
    assert [p.function.name for p in pieces if p.function and p.function.name] == ["get_weather"]
    arguments = "".join(p.function.arguments or "" for p in pieces if p.function)
    assert json.loads(arguments) == {"city": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("required", {"get_weather", "get_time"}),
        ({"type": "function", "function": {"name": "get_time"}}, {"get_time"}),
    ],
)
async def test_a_forced_call_obeys_the_schema(
    client: openai.AsyncOpenAI, stream: bool, choice: Any, names: set[str]
) -> None:
    body: dict[str, Any] = {
        "model": "demo",
        "messages": HELLO,
        "tools": [WEATHER, TIME],
        "tool_choice": choice,
        "temperature": 0,
        "max_tokens": 200,
        "parallel_tool_calls": False,
    }
    if stream:
        chunks = [c async for c in await client.chat.completions.create(**body, stream=True)]
        pieces = [p for c in chunks for p in c.choices[0].delta.tool_calls or ()]
        name = next(p.function.name for p in pieces if p.function and p.function.name)
        arguments = "".join(p.function.arguments or "" for p in pieces if p.function)
    else:
        answer = await client.chat.completions.create(**body)
        (call,) = answer.choices[0].message.tool_calls
        name, arguments = call.function.name, call.function.arguments
    assert name in names
    parsed = json.loads(arguments)
    assert list(parsed) == ["city"]
    assert isinstance(parsed["city"], str)


async def test_tool_choice_none_calls_nothing(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo", messages=PARIS, tools=[WEATHER], tool_choice="none", max_tokens=40
    )
    assert answer.choices[0].message.tool_calls is None


async def test_parallel_calls_come_together(client: openai.AsyncOpenAI) -> None:
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {"type": "object", "properties": {argument: {"type": "string"}}},
            },
        }
        for name, argument in (("search", "query"), ("calculate", "expression"))
    ]
    question = "Search for KV cache, and also calculate 12 + 30"
    answer = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": question}],
        tools=tools,
        temperature=0,
    )
    calls = answer.choices[0].message.tool_calls or []
    functions = [call.function for call in calls if call.type == "function"]
    assert [function.name for function in functions] == ["search", "calculate"]
    assert json.loads(functions[1].arguments) == {"expression": "12 + 30"}
    assert len({call.id for call in calls}) == 2


async def test_structured_output_obeys_the_schema(client: openai.AsyncOpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    answer = await client.chat.completions.create(
        model="demo",
        messages=HELLO,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "verdict", "schema": schema, "strict": True},
        },
    )
    assert json.loads(answer.choices[0].message.content or "")["answer"] in ("yes", "no")


async def test_logprobs_cover_every_token(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert answer.usage is not None
    assert len(logprobs.content) == answer.usage.completion_tokens
    assert all(len(entry.top_logprobs) == 2 for entry in logprobs.content)


async def test_n_gives_as_many_choices(client: openai.AsyncOpenAI) -> None:
    body: dict[str, Any] = {"model": "demo", "messages": HELLO, "n": 3, "seed": 1, "max_tokens": 5}
    answer = await client.chat.completions.create(**body)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    stream = await client.chat.completions.create(**body, stream=True)
    ended = [
        choice.index async for chunk in stream for choice in chunk.choices if choice.finish_reason
    ]
    assert sorted(ended) == [0, 1, 2]


async def test_a_seed_makes_chance_repeatable(client: openai.AsyncOpenAI) -> None:
    texts = set()
    for _ in range(2):
        answer = await client.chat.completions.create(
            model="demo", messages=HELLO, temperature=2, seed=7, max_tokens=20
        )
        texts.add(answer.choices[0].message.content)
    assert len(texts) == 1


async def test_stop_bias_and_limits_are_honoured(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="demo", messages=HELLO, temperature=0)
    words = (whole.choices[0].message.content or "").split()
    stopped = await client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, stop=[words[1]]
    )
    assert words[1] not in (stopped.choices[0].message.content or "")
    cut = await client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, max_completion_tokens=2
    )
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 2
    shown = await client.chat.completions.create(
        model="demo",
        messages=HELLO,
        temperature=0,
        max_tokens=1,
        extra_body={"return_token_ids": True},
    )
    (token,) = (shown.choices[0].model_extra or {})["token_ids"]
    biased = await client.chat.completions.create(
        model="demo", messages=HELLO, temperature=0, max_tokens=1, logit_bias={str(token): -100}
    )
    assert biased.choices[0].message.content != shown.choices[0].message.content


async def test_what_the_client_names_comes_back(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo",
        messages=HELLO,
        max_tokens=2,
        metadata={"run": "7"},
        service_tier="auto",
        user="somebody",
        store=False,
        extra_body={"prompt_cache_key": "k"},
    )
    assert answer.service_tier == "default"
    assert answer.to_dict()["metadata"] == {"run": "7"}


async def test_the_answer_names_its_session_and_engine(roundhouse: House) -> None:
    async with httpx.AsyncClient(base_url=roundhouse.url) as http:
        answer = await http.post(
            "/v1/chat/completions",
            json={"model": "demo", "messages": HELLO, "max_tokens": 1},
            headers={"x-session-id": "my-agent-7"},
        )
    assert answer.headers["x-roundhouse-session"] == "my-agent-7"
    assert answer.headers["x-roundhouse-engine"] == "demo"
    assert answer.headers["x-request-id"] == answer.json()["id"]


async def test_the_second_turn_finds_the_first_in_the_prefix_cache(
    client: openai.AsyncOpenAI,
) -> None:
    messages: list[Any] = [{"role": "user", "content": "Repeat: " + "one two three four " * 20}]
    first = await client.chat.completions.create(
        model="demo", messages=messages, temperature=0, max_tokens=8
    )
    messages.append({"role": "assistant", "content": first.choices[0].message.content})
    messages.append({"role": "user", "content": "Hello"})
    second = await client.chat.completions.create(
        model="demo", messages=messages, temperature=0, max_tokens=8
    )
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert (second.usage.prompt_tokens_details.cached_tokens or 0) >= 64
