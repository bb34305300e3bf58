"""Sessions found again without a name, in the styles of the clients there are."""

import pytest

from engine.types import ChoiceDone, Delta, Finished, Usage
from gateway.identity import Claim
from gateway.pending import PER_SESSION
from gateway.recognition import ENDS, IDS, Recognition
from gateway.visit import Visit
from tests.parts.agents import STYLES, SYSTEM, Style, agents, answer, tool_call, visit


@pytest.mark.parametrize("style", STYLES)
def test_a_tools_result_leads_back_to_the_session_that_called_it(style: Style) -> None:
    one, other = agents(2, style)
    calls = [tool_call(query="x", top=3) for _ in range(2)]
    for agent, call in zip((one, other), calls, strict=True):
        assert agent.ask("", call).by == "new"
        agent.result(call)
    for agent in (other, one):
        assert agent.ask("it is so").by == "tool_call"
        assert len(set(agent.sessions)) == 1
    assert one.sessions[0] != other.sessions[0]


@pytest.mark.parametrize("style", STYLES)
def test_a_further_question_leads_back_by_the_conversation_before_it(style: Style) -> None:
    one, other = agents(2, style)
    for agent, text in ((one, "it is so"), (other, "it is not")):
        agent.ask(text)
        agent.say("and Y?")
    assert one.ask("so too").by == other.ask("not either").by == "prefix"
    assert one.sessions[0] == one.sessions[1] != other.sessions[1] == other.sessions[0]


def test_agents_that_are_equal_until_now_stay_as_many_as_they_are() -> None:
    """Which of them is which can't be told, and need not be: they are equal."""
    many = agents(5)
    for _ in range(3):
        for agent in many:
            agent.ask("the same for all")
            agent.say("go on")
    assert all(len({agent.sessions[turn] for agent in many}) == 5 for turn in range(3))
    assert len({session for agent in many for session in agent.sessions}) == 5


def test_the_same_question_with_another_answer_is_another_conversation() -> None:
    (agent,) = agents(1)
    agent.ask("what the gateway said")
    imported = [
        *agent.messages[:2],
        {"role": "assistant", "content": "what somebody else said"},
        {"role": "user", "content": "go on"},
    ]
    assert visit(agent.recognition, imported).identity.by == "new"


def test_a_thought_that_the_client_cuts_off_does_not_change_who_it_is() -> None:
    (agent,) = agents(1)
    agent.ask("<think>hm</think>\n\nit is so")
    agent.messages[-1]["content"] = "it is so"
    agent.say("and Y?")
    assert agent.ask("so too").by == "prefix"


def test_an_id_is_looked_up_beside_the_tenant() -> None:
    (agent,) = agents(1)
    call = tool_call(query="x")
    theirs = agent.ask("", call)
    agent.result(call)
    forged = visit(agent.recognition, agent.messages, tenant="another").identity
    assert (forged.by, forged.tenant) == ("new", "another")
    assert forged.session != theirs.session


@pytest.mark.parametrize("style", ["plain", "absent", "reserialised"])
def test_ids_that_models_number_anew_do_not_mix_up_sessions(style: Style) -> None:
    """Kimi's first search is `functions.search:0` in every conversation."""
    one, other = agents(2, style)
    for agent, query in ((one, "x"), (other, "y")):
        call = tool_call("search", "functions.search:0", query=query, top=3)
        agent.ask("", call)
        agent.result(call)
    for agent in (other, one):
        assert agent.ask("it is so").by == "prefix"
        assert len(set(agent.sessions)) == 1
    assert one.sessions != other.sessions


def test_such_ids_lead_back_where_the_client_sends_them_as_text() -> None:
    (agent,) = agents(1, "text")
    for turn in range(3):
        call = tool_call("search", f"functions.search:{turn}", query="x")
        agent.ask("", call)
        agent.result(call)
    assert len(set(agent.sessions)) == 1


def test_an_id_that_two_sessions_were_given_says_nothing() -> None:
    one, other = agents(2)
    call = tool_call("search", "call_1795190073886003", query="x")
    for agent in (one, other):
        agent.ask("", call)
    one.result(call, "x")
    other.result(call, "y")
    assert one.ask("a").by == other.ask("b").by == "prefix"
    assert one.sessions[1] != other.sessions[1]


def test_the_last_request_of_an_agent_that_got_stuck_is_still_its() -> None:
    """smolagents then changes the system prompt and drops the tools."""
    (agent,) = agents(1, "text")
    call = tool_call(query="x")
    agent.ask("", call)
    agent.result(call, "found\nBased on the above, please provide an answer")
    agent.messages[0] = {"role": "system", "content": "An agent tried and got stuck."}
    assert agent.ask("it is so").by == "tool_call"
    assert len(set(agent.sessions)) == 1


def test_an_earlier_question_asked_anew_stays_in_the_session() -> None:
    """Also while results are due elsewhere in the conversation."""
    (agent,) = agents(1)
    agent.ask("it is so")
    agent.say("and Y?")
    agent.ask("", tool_call(query="y"))
    agent.messages = [*agent.messages[:3], {"role": "user", "content": "and Z?"}]
    assert agent.ask("so too").by == "prefix"
    assert len(set(agent.sessions)) == 1


def test_a_name_comes_first_and_what_it_was_told_leads_back_to_it() -> None:
    (agent,) = agents(1)
    call = tool_call(query="x")
    assert agent.ask("", call, session="mine").by == "name"
    agent.result(call)
    assert agent.ask("it is so").by == "tool_call"
    assert set(agent.sessions) == {"mine"}


def test_an_earlier_answers_id_leads_back() -> None:
    (agent,) = agents(1)
    first = Visit(agent.recognition, Claim("tenant", messages=agent.messages), "answer-0001")
    answer(first, "it is so")
    again = [{"role": "user", "content": "and Y?"}]
    claim = visit(agent.recognition, again, response="answer-0001").identity
    assert (claim.by, claim.session) == ("response", first.identity.session)


def test_a_cache_key_is_shared_by_those_who_ask_the_same_first() -> None:
    one, other = agents(2)
    other.begin(SYSTEM, "What is Y?")
    for agent in (one, other):
        assert agent.ask("so", cache_key="k").by == "cache_key"
        agent.messages = agent.messages[:2]
        assert agent.ask("so", cache_key="k").session == agent.sessions[0]
    assert one.sessions[0] != other.sessions[0]


def test_a_request_that_was_not_answered_leaves_nothing() -> None:
    (agent,) = agents(1)
    visit(agent.recognition, agent.messages)
    assert len(agent.recognition) == 0


def test_one_of_several_answers_leads_back_by_its_call_only() -> None:
    (agent,) = agents(1)
    it = visit(agent.recognition, list(agent.messages), choices=2)
    calls = [tool_call(query="x"), tool_call(query="y")]
    for index, call in enumerate(calls):
        it.hear(call)
        it.hear(Delta(index, "text"))
        it.hear(ChoiceDone(index, "tool_calls"))
    it.hear(Finished(Usage(1, 1)))
    function = {"name": "search", "arguments": calls[1].arguments}
    told = [{"id": calls[1].id, "type": "function", "function": function}]
    agent.messages.append({"role": "assistant", "tool_calls": told})
    agent.result(calls[1])
    assert agent.ask("so").session == it.identity.session


def test_what_is_kept_of_a_session_is_bounded() -> None:
    (agent,) = agents(1)
    recognition = agent.recognition
    for _ in range(100):
        calls = [tool_call("task", description=f"research {'x' * 20} number") for _ in range(3)]
        agent.ask("", *calls)
        for call in calls:
            agent.result(call)
    assert recognition.entries <= IDS + ENDS + PER_SESSION
    recognition.forget(("tenant", agent.sessions[0]))
    assert len(recognition) == recognition.entries == 0


def test_a_forgotten_session_is_not_found_any_more() -> None:
    (agent,) = agents(1)
    call = tool_call(query="x")
    first = agent.ask("", call)
    agent.recognition.forget((first.tenant, first.session))
    agent.result(call)
    assert agent.ask("it is so").by == "new"


@pytest.mark.parametrize(
    "messages",
    [
        ["text", 7, None],
        [{"role": "user"}, {"role": []}, {"role": 7, "content": {"a": 1}}],
        [{"role": "assistant", "tool_calls": "x"}, {"role": "tool", "tool_call_id": []}],
        [{"role": "assistant", "tool_calls": [{"id": 7, "function": []}, 9]}, {"role": "user"}],
        [{"role": []}],
        [{"role": "assistant", "content": [{"text": 7}, 8]}, {"role": "user", "content": [None]}],
    ],
)
def test_messages_that_are_no_messages_are_left_to_the_engine(messages: list[object]) -> None:
    recognition = Recognition()
    for _ in range(2):
        it = visit(recognition, messages)  # type: ignore[arg-type] # whatever JSON can say
        answer(it, "so", tool_call(query="x"))
    answer(visit(recognition, [*messages, {"role": "user", "content": "x"}]), "so")  # type: ignore[list-item] # as above
