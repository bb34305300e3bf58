"""What a user asks for, and the tool call that answers it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from models import words
from models.toolsets import Tool, Toolset, identifier

_LEADS = ("", "", "", "", "please ", "can you ", "could you please ")
_SEARCH_FOR = (
    "search for {}", "search for {}", "search for {}", "search the web for {}", "look up {}",
    "research {}", "find {}", "tell me about {}", "find information about {}",
)  # fmt: skip
_ASK = (
    "what is {}", "who is {}", "where is {}", "when was {}", "how old is {}", "what does {} do",
    "how does {} work", "why is {}", "which {}", "who was {}", "what are {}", "who {}", "what {}",
    "how many {}", "how {}", "when did {}", "who invented {}", "how tall is {}", "why does {}",
)  # fmt: skip
_ARITHMETIC = ("what is {}", "what is {}", "how much is {}", "{}")
_CALCULATE = ("calculate {}", "calculate {}", "compute {}", "work out {}")
_USE = ("use {} with {}", "use {} with {}", "call {} with {}", "use the tool {} with {}")
_WEATHER = ("what is the weather in {}", "how is the weather in {}", "weather in {}")
_TIME = ("what time is it in {}", "tell me the time in {}")
_DELEGATE = ("ask the {} to {}", "ask {} to {}", "ask the {} to {}")
_ERRANDS = (
    "search for {}", "search for {}", "look up {}", "find {}", "check {}", "review {}", "{}",
)  # fmt: skip
_CANNOT = (
    "write a poem about {}", "draw {}", "send {}", "book {}", "delete {}", "paint {}", "play {}",
)  # fmt: skip
_IMPERATIVE = (
    "search", "look", "find", "research", "tell", "calculate", "compute", "work", "use", "call",
    "ask", "please",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call, and what sort of result it gets: search, calculate, task or other."""

    name: str
    arguments: dict[str, str]
    kind: str

    @property
    def subject(self) -> str:
        """What the call is about: its first argument."""
        return next(iter(self.arguments.values()))

    def text(self) -> str:
        """The call as the model writes it."""
        body = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"


@dataclass(frozen=True, slots=True)
class Need:
    """A clause of a question, and its call; no call if no offered tool can help."""

    clause: str
    call: Call | None
    is_question: bool

    def lowered(self) -> "Need":
        """The same need with a small first letter, as it stands after "and also"."""
        small = self.clause[0].lower() + self.clause[1:]
        call = self.call
        if call:
            swap = {
                key: small if value == self.clause else value
                for key, value in call.arguments.items()
            }
            call = replace(call, arguments=swap)
        return Need(small, call, self.is_question)

    @property
    def is_imperative(self) -> bool:
        """Whether the clause can follow a bare "and"."""
        return self.clause.split(" ", 1)[0].lower() in _IMPERATIVE


@dataclass(frozen=True, slots=True)
class Scene:
    """What is offered, and what was said before."""

    tools: Toolset
    earlier: str = ""

    def topic(self, rng: Random) -> str:
        """What a question is about: something new, or partly what an earlier one was about."""
        if self.earlier and rng.random() < 0.2:
            again = words.span(rng, self.earlier)
            return again if rng.random() < 0.3 else f"{again} {words.phrase(rng, 1, 3)}"
        return words.topic(rng)


def need(rng: Random, scene: Scene) -> Need:
    """Something to ask for; in about one case of ten nothing offered can help."""
    makers: list[Callable[[Random, Scene], Need]] = []
    if rng.random() < 0.1 or not scene.tools.offered:
        makers = [_unsuitable]
    else:
        makers += [_search] * 5 * bool(scene.tools.search) + [_calculate] * 4 * bool(
            scene.tools.calculate
        )
        makers += [_use] * 3 * bool(scene.tools.others) + [_delegate] * 3 * bool(scene.tools.task)
    return rng.choice(makers)(rng, scene)


def _call(tool: Tool | None, value: str, kind: str) -> Call | None:
    return Call(tool.name, {tool.parameters[0]: value}, kind) if tool else None


def _search(rng: Random, scene: Scene) -> Need:
    """A search: what follows "search for", or the whole of a question."""
    about = scene.topic(rng)
    if rng.random() < 0.55:
        clause = rng.choice(_LEADS) + rng.choice(_SEARCH_FOR).format(about)
        return Need(_case(rng, clause), _call(scene.tools.search, about, "search"), False)
    if rng.random() < 0.08:
        return Need(about, _call(scene.tools.search, about, "search"), True)
    clause = _case(rng, rng.choice(_ASK).format(about))
    return Need(clause, _call(scene.tools.search, clause, "search"), True)


def _calculate(rng: Random, scene: Scene) -> Need:
    """Arithmetic: the expression as it stands in the question."""
    value = words.expression(rng)
    if rng.random() < 0.5:
        clause = rng.choice(_LEADS) + rng.choice(_CALCULATE).format(value)
        return Need(_case(rng, clause), _call(scene.tools.calculate, value, "calculate"), False)
    clause = _case(rng, rng.choice(_ARITHMETIC).format(value))
    return Need(clause, _call(scene.tools.calculate, value, "calculate"), True)


def _use(rng: Random, scene: Scene) -> Need:
    """A tool called by its name, or weather and time."""
    tool = rng.choice(scene.tools.others)
    patterns = {"get_weather": _WEATHER, "get_time": _TIME}.get(tool.name)
    if patterns and rng.random() < 0.7:
        where = words.place(rng)
        return Need(
            _case(rng, rng.choice(patterns).format(where)), _call(tool, where, "other"), True
        )
    return _use_named(rng, scene, tool.name, tool)


def _use_named(rng: Random, scene: Scene, name: str, tool: Tool | None) -> Need:
    value = scene.topic(rng)
    return Need(
        _case(rng, rng.choice(_USE).format(name, value)), _call(tool, value, "other"), False
    )


def _delegate(rng: Random, scene: Scene) -> Need:
    """Work for a sub-agent."""
    agent = rng.choice(scene.tools.agents)
    errand = rng.choice(_ERRANDS).format(scene.topic(rng))
    if rng.random() < 0.25:
        errand = f"calculate {words.expression(rng)}"
    clause = _case(rng, rng.choice(_DELEGATE).format(agent, errand))
    call = (
        Call("task", {"description": errand, "subagent_type": agent}, "task")
        if scene.tools.task
        else None
    )
    return Need(clause, call, False)


def _unsuitable(rng: Random, scene: Scene) -> Need:
    """Something for which nothing is offered."""
    makers = [_cannot, _use_missing]
    if not scene.tools.search:
        makers += [_search] * 3
    if not scene.tools.calculate:
        makers += [_calculate] * 3
    if not scene.tools.task:
        makers += [_delegate]
    if not scene.tools.search and not scene.tools.named("get_weather"):
        makers += [_weather]
    return rng.choice(makers)(rng, scene)


def _cannot(rng: Random, scene: Scene) -> Need:
    clause = rng.choice(_LEADS) + rng.choice(_CANNOT).format(scene.topic(rng))
    return Need(_case(rng, clause), None, False)


def _use_missing(rng: Random, scene: Scene) -> Need:
    name = rng.choice([identifier(rng), "get_weather", "read_file", "execute", "translate"])
    return (
        _use_named(rng, scene, name, None) if not scene.tools.named(name) else _cannot(rng, scene)
    )


def _weather(rng: Random, scene: Scene) -> Need:
    return Need(_case(rng, rng.choice(_WEATHER).format(words.place(rng))), None, True)


def _case(rng: Random, clause: str) -> str:
    """The clause with a capital, most of the time."""
    return clause[0].upper() + clause[1:] if rng.random() < 0.8 else clause


def joined(rng: Random, needs: list[Need], *, parallel: bool) -> str:
    """The clauses as one question."""
    first, *rest = needs
    if not rest:
        return first.clause + (
            rng.choice(["?", "?", "?", ""]) if first.is_question else rng.choice(["", "", "."])
        )
    links = (
        [*[", and also "] * 4, " and also ", ". Also "]
        if parallel
        else [", then ", ", then ", " and then ", ". Then "]
    )
    if parallel and all(need.is_imperative for need in rest):
        links += [" and ", ", and "]
    link = rng.choice(links)
    return link.join(need.clause for need in needs) + rng.choice(
        ["", ".", "?" if needs[-1].is_question else ""]
    )
