"""What a request with server-side tools may ask for."""

import pytest

from gateway.errors import BadRequest
from tests.parts.engine import ScriptedEngine
from tests.parts.loop import ANSWER, OWN, SERVER, USER, Bench, bench
from tests.parts.scripts import call, text, turn
from tests.parts.tools import ScriptedTool


async def test_a_gateway_without_a_tools_service_says_so() -> None:
    with pytest.raises(BadRequest) as caught:
        await Bench(ScriptedEngine(ANSWER), None).run()
    assert caught.value.param == "tools"


async def test_a_tool_nobody_offers_is_refused_with_those_there_are() -> None:
    async with bench(ANSWER) as it:
        with pytest.raises(BadRequest, match="it has: search") as caught:
            await it.run(tools=[SERVER | {"allowed_tools": ["nothing"]}])
    assert caught.value.param == "tools.allowed_tools"


async def test_only_allowed_tools_are_offered() -> None:
    async with bench(ANSWER, tools=[ScriptedTool("one"), ScriptedTool("two")]) as it:
        await it.run(tools=[SERVER | {"allowed_tools": ["two"]}])
    assert [tool["function"]["name"] for tool in it.asked(0)["tools"]] == ["two"]


async def test_two_tools_of_one_name_are_refused_where_the_clients_stands() -> None:
    clash = {"type": "function", "function": {"name": "search"}}
    async with bench(ANSWER) as it:
        with pytest.raises(BadRequest) as caught:
            await it.run(tools=[SERVER, OWN, clash])
    assert caught.value.param == "tools[1].function.name"


async def test_several_choices_have_no_server_tools() -> None:
    async with bench(ANSWER) as it:
        with pytest.raises(BadRequest) as caught:
            await it.run(n=2)
    assert caught.value.param == "n"


@pytest.mark.parametrize("messages", [5, "hi", None, {"role": "user"}])
async def test_messages_that_are_no_list_are_refused(messages: object) -> None:
    """A number for messages was an internal error."""
    async with bench(ANSWER) as it:
        with pytest.raises(BadRequest) as caught:
            await it.run(messages=messages)
    assert caught.value.param == "messages"


async def test_a_request_without_server_tools_goes_straight_through() -> None:
    script = turn(text("a"), call("mine"), reason="tool_calls")
    async with bench(script) as it:
        assert await it.run(tools=[OWN], n=1) == script
    assert it.asked(0) == {"messages": [USER], "tools": [OWN], "n": 1}
    assert it.metric("turns_total", engine="zero") == 1
