"""The chat template: what the model wrote is rendered again as it wrote it, and nothing fails."""

import json
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models import dialogues
from models.dialogues import SYSTEM_LIMIT, Dialogue
from models.evaluate import DEMO, parsed
from models.tokenizer import TEMPLATE
from models.toolsets import Tool

Messages = list[dict[str, Any]]


@pytest.fixture(scope="module")
def demo() -> PreTrainedTokenizerFast:
    """The shipped tokenizer with its chat template."""
    return AutoTokenizer.from_pretrained(DEMO)


def definition(tool: Tool) -> dict[str, Any]:
    """The tool as a client defines it."""
    properties = {name: {"type": "string"} for name in tool.parameters}
    parameters = {"type": "object", "properties": properties, "required": []}
    return {"type": "function", "function": {"name": tool.name, "parameters": parameters}}


def render(demo: PreTrainedTokenizerFast, messages: Messages, *tools: Tool) -> str:
    """The prompt of these messages."""
    offered = [definition(tool) for tool in tools] or None
    return str(demo.apply_chat_template(messages, tools=offered, tokenize=False))


def answered(text: str) -> dict[str, Any]:
    """An assistant's message as a client sends it back, its calls parsed by the server."""
    calls = [
        {"id": f"call-{index}", "type": "function", "function": call}
        for index, call in enumerate(parsed(text))
    ]
    content = text.split("<tool_call>")[0] or None
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def sent(dialogue: Dialogue) -> Messages:
    """The dialogue as OpenAI messages."""
    messages: Messages = []
    if dialogue.system:
        messages.append({"role": "system", "content": dialogue.system})
    for message in dialogue.messages:
        if message.role == "assistant":
            messages.append(answered(message.text))
        else:
            messages.append({"role": message.role, "content": message.text})
    return messages


def test_generated_dialogues_are_rendered_as_the_model_learnt_them(
    demo: PreTrainedTokenizerFast,
) -> None:
    rng = dialogues.stream("held-out", 7)
    for _ in range(200):
        dialogue = dialogues.draw(rng)
        expected = "".join(segment.text for segment in dialogue.segments())
        assert render(demo, sent(dialogue), *dialogue.tools.offered) == expected


@pytest.mark.parametrize(
    "text",
    [
        'I will look.\n<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>',
        '<tool_call>\n{"name": "search", "arguments": {"query": "é <b> & \'q\' \\"z\\" \\\\ \\n"}}'
        "\n</tool_call>",
        '<tool_call>\n{"name": "f", "arguments": {"n": 3, "x": 0.5, "on": true, "of": [1, null]}}'
        '\n</tool_call>\n<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>',
        "Only words.",
    ],
)
def test_an_answer_comes_back_character_for_character(
    demo: PreTrainedTokenizerFast, text: str
) -> None:
    question = {"role": "user", "content": "Hello"}
    prompt = demo.apply_chat_template([question], add_generation_prompt=True, tokenize=False)
    assert render(demo, [question, answered(text)]) == f"{prompt}{text}<|im_end|>\n"


def test_arguments_may_be_json_text(demo: PreTrainedTokenizerFast) -> None:
    text = '<tool_call>\n{"name": "search", "arguments": {"query": "x"}}\n</tool_call>'
    message = answered(text)
    call = message["tool_calls"][0]["function"]
    message["tool_calls"][0]["function"] = {**call, "arguments": json.dumps(call["arguments"])}
    assert text + "<|im_end|>" in render(demo, [message])


def test_parts_of_a_content_become_lines(demo: PreTrainedTokenizerFast) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    for role, number in (("user", ""), ("tool", "1. "), ("assistant", "")):
        assert f"<|im_start|>{role}\n{number}one\ntwo<|im_end|>" in render(
            demo, [{"role": role, "content": parts}]
        )


def test_leading_system_and_developer_texts_become_one(demo: PreTrainedTokenizerFast) -> None:
    messages: Messages = [
        {"role": "system", "content": "One."},
        {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
        {"role": "user", "content": "Hello"},
        {"role": "developer", "content": "Three."},
    ]
    assert render(demo, messages, Tool("ls", ("path",))) == (
        "<|im_start|>system\nOne.\nTwo.\n<tools>\nls(path)\n</tools><|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>system\nThree.<|im_end|>\n"
    )


def test_the_results_of_each_turn_are_numbered(demo: PreTrainedTokenizerFast) -> None:
    first = '<tool_call>\n{"name": "f", "arguments": {"of": "x"}}\n</tool_call>'
    turn = [
        {"role": "user", "content": "Hello"},
        answered(f"{first}\n{first}"),
        {"role": "tool", "content": "one"},
        {"role": "tool", "content": [{"type": "text", "text": "two"}]},
        answered(first),
        {"role": "function", "name": "f", "content": "three"},
    ]
    prompt = render(demo, [*turn, answered("Done."), *turn])
    for number, content in enumerate(("one", "two", "three"), 1):
        assert prompt.count(f"<|im_start|>tool\n{number}. {content}<|im_end|>\n") == 2


def test_a_long_system_text_is_cut(demo: PreTrainedTokenizerFast) -> None:
    prompt = render(demo, [{"role": "system", "content": "x" * (SYSTEM_LIMIT + 1)}])
    assert prompt.count("x") == SYSTEM_LIMIT


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": None},
        {"role": "user", "content": ""},
        {"role": "user", "content": []},
        {"role": "user", "name": "Ada", "content": "Hello"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"role": "user", "content": ["a", {"type": "text", "text": None}]},
        {"role": "assistant"},
        {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": None}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "assistant", "tool_calls": [{"custom": {"name": "f", "input": "x"}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}]},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "developer", "content": None},
    ],
)
def test_every_valid_message_can_be_rendered(
    demo: PreTrainedTokenizerFast, message: dict[str, Any]
) -> None:
    prompt = render(demo, [message], Tool("ls", ()))
    assert prompt.startswith("<|im_start|>system\n")
    assert prompt.endswith("<|im_end|>\n")


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "now"}},
        {"type": "function", "function": {"name": "now", "parameters": None}},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
        {"type": "custom", "custom": {"name": "now"}},
        {"name": "now", "input_schema": {}},
    ],
)
def test_a_tool_without_parameters_is_offered(
    demo: PreTrainedTokenizerFast, tool: dict[str, Any]
) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    prompt = demo.apply_chat_template(messages, tools=[tool], tokenize=False)
    assert prompt.startswith("<|im_start|>system\n<tools>\nnow()\n</tools><|im_end|>\n")


def test_the_shipped_template_is_the_one_in_the_source(demo: PreTrainedTokenizerFast) -> None:
    assert demo.chat_template == TEMPLATE.read_text()
