"""Tools for models whose chat template knows none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadCall
from engine.vllm.tool_prompt import concerns, told

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"at": "Bonn"}'},
}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_tools_become_instructions_before_the_first_message_and_nothing_else_is_left() -> None:
    shown = told({"messages": [user("Warm?")], "tools": [TOOL], "tool_choice": "auto", "seed": 1})
    assert shown.keys() == {"messages", "seed"}
    (first,) = shown["messages"]
    assert json.dumps(TOOL["function"]) in first["content"]
    assert first["content"].endswith("\nWarm?")


def test_calls_become_what_the_model_would_have_written_and_results_a_message_of_the_user() -> None:
    said = {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, CALL]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "20 C"}
    _, call, answer = told({"messages": [user("Warm?"), said, result]})["messages"]
    written = '<tool_call>\n{"name": "weather", "arguments": {"at": "Bonn"}}\n</tool_call>'
    assert call == {"role": "assistant", "content": f"Let me see.\n{written}\n{written}"}
    assert answer == user("<tool_response>\n20 C\n</tool_response>")


def test_a_conversation_without_tools_is_of_no_concern() -> None:
    assert not concerns({"messages": [user("Hello")]})
    assert concerns({"messages": [user("Hello")], "tools": [TOOL]})
    assert concerns({"messages": [{"role": "tool", "content": "1"}]})


def test_a_first_message_that_is_not_text_is_refused() -> None:
    with pytest.raises(BadCall) as refused:
        told({"messages": [{"role": "user", "content": [{"type": "text"}]}], "tools": [TOOL]})
    assert refused.value.param == "messages[0].content"


@given(st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), min_size=1, max_size=8))
def test_as_many_messages_come_out_as_go_in(roles: list[str]) -> None:
    said = [{"role": role, "content": "x", "tool_calls": [CALL]} for role in roles]
    assert len(told({"messages": said, "tools": [TOOL]})["messages"]) == len(roles)
