"""What stays the same of a conversation however a client writes it anew."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.vllm.conversation import extended, marks

Body = dict[str, Any]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
arguments = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4)


def body(*messages: dict[str, Any], **fields: object) -> Body:
    return {"messages": list(messages), **fields}


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def calling(written: str, **fields: object) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": written}}
    return {"role": "assistant", "tool_calls": [call], **fields}


@given(arguments)
def test_arguments_may_be_written_with_other_spaces(value: dict[str, Any]) -> None:
    wide = json.dumps(value, indent=2)
    tight = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    assert marks(body(user("a"), calling(wide))) == marks(body(user("a"), calling(tight)))


@given(st.text(), st.text(min_size=1, max_size=4))
def test_another_text_is_another_conversation(text: str, more: str) -> None:
    assert marks(body(user(text + "x"))) != marks(body(user(text + "x" + more + "y")))


def test_absent_empty_and_null_content_are_the_same_and_so_are_parts() -> None:
    same = [
        calling("{}"),
        calling("{}", content=None),
        calling("{}", content=""),
        calling("{}", content=[], name="agent", reasoning_content="hm"),
    ]
    assert len({tuple(marks(body(user("a"), message)) or ()) for message in same}) == 1
    parts = [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}]
    assert marks(body(user(parts))) == marks(body(user("hello")))


def test_every_beginning_has_the_mark_it_had_when_it_was_the_whole() -> None:
    said = [user("a"), calling("{}"), {"role": "tool", "tool_call_id": "call_1", "content": "1"}]
    whole = marks(body(*said))
    assert whole is not None
    for length in range(len(said) + 1):
        assert marks(body(*said[:length])) == whole[: length + 1]


def test_a_mark_extended_by_what_was_said_is_that_of_the_conversation_sent_back() -> None:
    before = marks(body(user("a")))
    assert before is not None
    sent_back = marks(body(user("a"), calling('{"b": 1}', content="Let me see. ")))
    assert sent_back is not None
    assert extended(before[-1], "Let me see.\n", [("f", '{"b":1}')]) == sent_back[-1]


def test_other_tools_or_settings_of_the_template_are_another_conversation() -> None:
    plain = marks(body(user("a")))
    tool = {"type": "function", "function": {"name": "f"}}
    assert marks(body(user("a"), tools=[tool])) != plain
    assert marks(body(user("a"), chat_template_kwargs={"enable_thinking": False})) != plain
    assert marks(body(user("a"), temperature=0.5)) == plain


def test_pictures_and_nonsense_have_no_marks() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    assert marks(body(user([picture]))) is None
    assert marks(body(user({"text": "a"}))) is None
    assert marks({"messages": ["a"]}) is None
