"""Tools told in the prompt, for models whose template knows none."""

from typing import Any

import openai
import pytest
from transformers import AutoTokenizer

from tests.e2e.conftest import DEMO

pytestmark = pytest.mark.real

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {
            "type": "object",
            "properties": {"query": {"enum": ["rivers"]}},
            "required": ["query"],
        },
    },
}


async def test_a_request_may_ask_for_its_tools_in_the_prompt_and_gets_calls_as_usual(
    client: openai.AsyncOpenAI,
) -> None:
    messages: list[Any] = [{"role": "user", "content": "Search for rivers"}]
    create: Any = client.chat.completions.create
    extra = {"tools_in_prompt": True, "return_token_ids": True, "session_id": "in the prompt"}
    answer = await create(
        model="demo", messages=messages, tools=[SEARCH], tool_choice="required", extra_body=extra
    )
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("search", '{"query": "rivers"}')
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    prompt = tokenizer.decode(answer.prompt_token_ids)
    assert "You can call functions." in prompt
    assert '{"name": "search"' in prompt
    assert "search(query)" not in prompt  # how the demo's own template tells it

    messages += [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "Many."},
    ]
    second = await create(model="demo", messages=messages, tools=[SEARCH], extra_body=extra)
    read = [*answer.prompt_token_ids, *answer.choices[0].token_ids]
    assert second.prompt_token_ids[: len(read)] == read
    new = tokenizer.decode(second.prompt_token_ids[len(read) :])
    assert "<tool_response>\nMany.\n</tool_response>" in new


async def test_the_field_must_be_a_truth_value(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": "Hello"}],
            extra_body={"tools_in_prompt": "yes"},
        )
    assert refused.value.param == "tools_in_prompt"
