"""The rest of the API on the real engine: what is refused and how, models, text completions."""

from typing import Any

import openai
import pytest

pytestmark = pytest.mark.real

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"favourite_colour": "red"}, "favourite_colour"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"functions": []}, "functions"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"mm_payload": "none"}, "mm_payload"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"messages": [{"content": "x"}]}, None),
        ({"messages": []}, None),
        ({"messages": 5}, None),
        ({"n": 0}, None),
    ],
)
async def test_a_wrong_request_is_told_which_field_is_wrong(
    client: openai.AsyncOpenAI, body: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="demo", messages=body.pop("messages", HELLO), extra_body=body
        )
    error = refused.value
    assert error.type == "invalid_request_error"
    assert error.code == "invalid_value"
    if param is not None:
        assert error.param == param


async def test_an_overflow_is_recognised_by_its_message(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "far too long " * 2000}]
        )
    assert refused.value.code == "context_length_exceeded"
    assert "context_length_exceeded: " in str(refused.value)


async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert refused.value.code == "model_not_found"
    assert "demo" in str(refused.value)


async def test_models_are_listed(client: openai.AsyncOpenAI) -> None:
    listed = await client.models.list()
    assert [model.id for model in listed.data] == ["demo"]
    assert (await client.models.retrieve("demo")).id == "demo"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-9")


async def test_text_completions_are_served(client: openai.AsyncOpenAI) -> None:
    body: dict[str, Any] = {"model": "demo", "max_tokens": 4, "temperature": 0}
    whole = await client.completions.create(**body, prompt=["Hello", "You"], logprobs=1)
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert whole.choices[0].logprobs is not None
    stream = await client.completions.create(**body, prompt="Hello", stream=True)
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert text == whole.choices[0].text
    echoed = await client.completions.create(**body, prompt="Hello", echo=True)
    assert echoed.choices[0].text == "Hello" + text
    with pytest.raises(openai.BadRequestError) as refused:
        await client.completions.create(**body, prompt="Hello", extra_body={"colour": 1})
    assert refused.value.param == "colour"
