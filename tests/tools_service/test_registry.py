"""The list of served tools while it changes."""

import pytest

from tests.tools_service.tool_stand_ins import Gate
from tools_service.errors import BadOutput, NameTaken, UnknownTool, Withdrawn
from tools_service.tools.registry import Output, Registry


def names(registry: Registry) -> list[str]:
    return [tool.name for tool in registry]


def test_tools_are_in_the_order_of_their_names_whenever_they_came() -> None:
    registry = Registry([Gate("b"), Gate("d")])
    registry.add(Gate("c", upstream="fx"))
    registry.add(Gate("a", upstream="fx"))
    assert names(registry) == ["a", "b", "c", "d"]


def test_a_withdrawn_tool_is_known_and_refused_until_it_comes_back() -> None:
    registry = Registry([Gate("b", upstream="fx"), Gate("a")])
    registry.withdraw("b", "fx", "it changed")
    assert names(registry) == ["a"]
    assert "b" in registry
    assert registry.schema("b") is None
    with pytest.raises(Withdrawn, match="b is withdrawn: it changed"):
        registry.find("b")
    again = Gate("b", "another text", upstream="fx")
    registry.add(again)
    assert registry.find("b") is again
    assert registry.schema("b") == {"type": "object"}


def test_a_withdrawn_tool_leaves_no_promise_behind() -> None:
    """A call that was running when its tool was withdrawn was held to a schema nobody offers."""
    promise = {"type": "object", "required": ["sum"]}
    tool = Gate("b", output_schema=promise, upstream="fx")
    registry = Registry([tool])
    with pytest.raises(BadOutput):
        registry.verify(tool, Output("", {}))
    registry.withdraw("b", "fx", "it changed")
    registry.verify(tool, Output("", {}))


def test_nobody_replaces_or_withdraws_a_tool_of_others() -> None:
    ours, theirs = Gate("a"), Gate("b", upstream="fx")
    registry = Registry([ours, theirs])
    for taken in (Gate("a"), Gate("a", upstream="fx"), Gate("b"), Gate("b", upstream="other")):
        with pytest.raises(NameTaken):
            registry.add(taken)
    registry.withdraw("a", "fx", "mine now")
    registry.withdraw("b", "other", "mine now")
    assert (registry.find("a"), registry.find("b")) == (ours, theirs)


def test_an_unknown_tool_is_refused_with_the_names_there_are() -> None:
    registry = Registry([Gate("b"), Gate("a")])
    with pytest.raises(UnknownTool, match="the tools are: a, b"):
        registry.find("c")
    assert "c" not in registry
