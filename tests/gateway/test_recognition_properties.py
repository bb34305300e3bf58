"""Whatever agents say, and in whatever order: none is merged with another, none is split."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types import ToolCall
from gateway.recognition import Recognition
from tests.parts.agents import STYLES, Agent, tool_call

Said: TypeAlias = Literal["own text", "same text", "call", "numbered call", "both"]
SAID: tuple[Said, ...] = ("own text", "same text", "call", "numbered call", "both")
# As text, a numbered call can't be told from another agent's.
SAID_AS_TEXT: tuple[Said, ...] = ("own text", "same text", "call", "both")


@dataclass
class Player:
    """An agent, and what the model has called but not heard of."""

    agent: Agent
    number: int
    open_calls: tuple[ToolCall, ...] = ()
    turn: int = 0

    def step(self, said: Said, *, is_distinct: bool) -> None:
        """Send a request, or receive the answer to it and get ready for the next."""
        if self.agent.asked is None:
            self.agent.send()
            return
        text, calls = self._answer(said, is_distinct)
        self.agent.receive(text, *calls)
        for call in calls:
            self.agent.result(call)
        if not calls:
            self.agent.say("go on")
        self.turn += 1

    def _answer(self, said: Said, is_distinct: bool) -> tuple[str, tuple[ToolCall, ...]]:
        mine = f"{self.number}" if is_distinct else "any"
        own = f"said by {mine} in turn {self.turn}"
        if said == "numbered call":
            name = f"functions.search:{self.turn}"
            return "", (tool_call("search", name, query=own, top=3),)
        calls = (tool_call(query="x", top=3),) if said in ("call", "both") else ()
        if said == "own text" or (said == "same text" and is_distinct):
            return own, calls
        return ("so" if not calls or said == "both" else ""), calls


def players(data: st.DataObject) -> list[Player]:
    """Agents of one gateway, all with the same prompts."""
    recognition = Recognition()
    styles = data.draw(st.lists(st.sampled_from(STYLES), min_size=2, max_size=5))
    made = []
    for number, style in enumerate(styles):
        agent = Agent(recognition, style)
        agent.begin("You are an expert.", "What is X?")
        made.append(Player(agent, number))
    return made


def play(data: st.DataObject, made: list[Player], *, is_distinct: bool) -> None:
    """Let them go on in any order, their requests overlapping."""
    turns = st.lists(st.integers(0, len(made) - 1), min_size=16, max_size=40)
    for number in data.draw(turns):
        player = made[number]
        choices = SAID_AS_TEXT if player.agent.style == "text" else SAID
        player.step(data.draw(st.sampled_from(choices)), is_distinct=is_distinct)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_agents_that_were_told_different_things_are_never_mixed_up(data: st.DataObject) -> None:
    made = players(data)
    play(data, made, is_distinct=True)
    used = [set(player.agent.sessions) for player in made if player.agent.sessions]
    assert all(len(sessions) == 1 for sessions in used), "split"
    assert len(set.union(set(), *used)) == len(used), "merged"


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_agents_that_were_told_the_same_are_as_many_sessions_as_they_are(
    data: st.DataObject,
) -> None:
    made = players(data)
    play(data, made, is_distinct=False)
    begun = [player.agent for player in made if player.agent.sessions]
    assert len({session for agent in begun for session in agent.sessions}) == len(begun)
    running = [agent.sessions[-1] for agent in begun if agent.asked is not None]
    assert len(set(running)) == len(running), "two requests at once in one session"
