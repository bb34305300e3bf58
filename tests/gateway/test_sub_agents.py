"""Agents that another one has started, linked to it by what they are told."""

import pytest

from tests.parts.agents import STYLES, SYSTEM, Agent, Style, agents, tool_call


@pytest.mark.parametrize("style", STYLES)
def test_a_sub_agent_is_linked_to_the_agent_whose_call_it_works_on(style: Style) -> None:
    main, sub = agents(2, style)
    call = tool_call("task", description="research topic A", kind="research-agent")
    parent = main.ask("", call)
    sub.begin("You are a researcher.", "research topic A")
    child = sub.ask("done")
    assert (child.by, child.parent) == ("new", parent.session)


def test_a_sub_agent_is_linked_where_the_task_is_only_a_part_of_what_it_is_told() -> None:
    main, short, long = agents(3)
    calls = [
        tool_call("task", task="research topic A"),
        tool_call("task", task="Find out who wrote it, when, and for whom.\nSay why."),
    ]
    parent = main.ask("", *calls)
    short.begin("You are a researcher.", "Here is your task:\n\n'research topic A'\n")
    long.begin(
        "Help.", "You were given:\n'Find out who wrote it, when, and for whom.\nSay why.'\nGo."
    )
    assert short.ask("done").parent == long.ask("done").parent == parent.session


def test_a_fork_of_a_conversation_is_a_session_of_its_own() -> None:
    """It has its parent's messages and then a task, without the results its parent waits for."""
    (main,) = agents(1)
    call = tool_call("task", description="research topic A")
    parent = main.ask("", call)
    fork = Agent(main.recognition)
    fork.messages = [
        *main.messages[:2],
        {"role": "user", "content": "Your task:\nresearch topic A"},
    ]
    assert fork.ask("done").parent == parent.session
    assert fork.sessions[0] != parent.session
    whole = Agent(main.recognition)
    whole.messages = [*main.messages, {"role": "user", "content": "work on something"}]
    forked = whole.ask("done")
    assert (forked.by, forked.parent) == ("new", parent.session)
    main.result(call)
    assert main.ask("it is so").session == parent.session


def test_an_agent_with_the_same_question_is_no_sub_agent_of_one_that_searches_for_it() -> None:
    one, other, sub = agents(3)
    question = "How is the weather in Berlin?"
    for agent in (one, other):
        agent.begin(SYSTEM, question)
    caller = one.ask("", tool_call("search", query=question))
    assert other.ask("", tool_call("search", query=question)).parent is None
    sub.begin("You search.", question)
    child = sub.ask("sunny")
    assert child.parent in (caller.session, other.sessions[0])


def test_a_quoted_argument_is_found_as_it_is() -> None:
    main, sub = agents(2)
    parent = main.ask("", tool_call("task", task='who said "hello"'))
    sub.begin("You search.", 'Task:\nwho said "hello"')
    assert sub.ask("done").parent == parent.session


def test_a_long_argument_is_known_when_it_is_all_that_is_said() -> None:
    main, sub, other = agents(3)
    task = "research " * 1000
    parent = main.ask("", tool_call("task", description=task))
    sub.begin("You are a researcher.", task)
    other.begin("You are a researcher.", f"Do this: {task}")
    assert sub.ask("done").parent == parent.session
    assert other.ask("done").parent is None


def test_a_call_that_was_answered_starts_no_more_sub_agents() -> None:
    main, sub = agents(2)
    call = tool_call("task", description="research topic A")
    main.ask("", call)
    main.result(call)
    main.ask("it is so")
    sub.begin("You are a researcher.", "research topic A")
    assert sub.ask("done").parent is None


def test_agents_of_different_groups_or_keys_are_not_linked() -> None:
    main, sub, foreign = agents(3)
    main.ask("", tool_call("task", description="research topic A"), group="g")
    for agent in (sub, foreign):
        agent.begin("You are a researcher.", "research topic A")
    foreign.tenant = "another"
    assert foreign.ask("done").parent is None
    assert sub.ask("done", group="h").parent is None


def test_every_call_of_several_equal_agents_gets_its_sub_agent() -> None:
    mains = agents(4)
    for main in mains:
        main.ask("", tool_call("task", description="research topic A"))
    subs = [Agent(mains[0].recognition) for _ in mains]
    for sub in subs:
        sub.begin("You are a researcher.", "research topic A")
        sub.ask("done")
    parents = {sub.last.parent for sub in subs if sub.last is not None}
    assert parents == {main.sessions[0] for main in mains}


def test_arguments_that_are_no_object_are_no_task() -> None:
    main, sub = agents(2)
    call = tool_call("task")
    for arguments in ("[1]", "{", '"research topic A"', '{"a": 7, "b": "short"}', "[" * 2000):
        broken = type(call)(0, 0, tool_call().id, "task", arguments)
        main.ask("", broken)
    sub.begin("You are a researcher.", "research topic A")
    assert sub.ask("done").parent is None
