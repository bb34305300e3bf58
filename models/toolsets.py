"""The set of tools that one dialogue offers."""

from dataclasses import dataclass
from random import Random

from models import words

_SEARCH = (
    "search", "search", "search", "internet_search", "web_search", "tavily_search", "retrieve",
)  # fmt: skip
_CALCULATE = ("calculate", "calculate", "calculate", "calculator", "calc", "evaluate")
_QUERY = ("query", "query", "query", "q", "text", "question")
_SEARCH_OPTIONS = ("max_results", "topic", "include_raw_content")
_EXPRESSION = ("expression", "expression", "expression", "expr", "input")
_KNOWN = (
    ("get_weather", "city"), ("get_time", "city"), ("get_time", "timezone"), ("ls", "path"),
    ("read_file", "file_path", "offset", "limit"), ("write_file", "file_path", "content"),
    ("edit_file", "file_path", "old_string", "new_string", "replace_all"),
    ("glob", "pattern", "path"), ("grep", "pattern", "path", "glob", "output_mode"),
    ("write_todos", "todos"), ("execute", "command"),
    ("fetch", "url"), ("fetch_url", "url"), ("run_python", "code"), ("python", "code"),
    ("translate", "text"), ("get_population", "country"), ("lookup_price", "item"),
)  # fmt: skip
_DEEP_AGENT = (
    "write_todos", "ls", "read_file", "write_file", "edit_file", "glob", "grep", "execute",
)  # fmt: skip
_AGENTS = (
    ("research-agent", "critique-agent"), ("researcher", "critic"),
    ("general-purpose", "researcher"), ("research-agent", "math-agent"),
    ("general-purpose", "research-agent"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the prompt shows it: its name and the names of its parameters."""

    name: str
    parameters: tuple[str, ...]

    def line(self) -> str:
        """The tool as one line of the prompt."""
        return f"{self.name}({', '.join(self.parameters)})"


@dataclass(frozen=True, slots=True)
class Toolset:
    """The offered tools in the order of the prompt, and those with a meaning by name."""

    offered: tuple[Tool, ...]
    search: Tool | None
    calculate: Tool | None
    task: Tool | None
    others: tuple[Tool, ...]
    agents: tuple[str, ...]

    def named(self, name: str) -> Tool | None:
        """The offered tool of that name."""
        return next((tool for tool in self.offered if tool.name == name), None)


def draw(rng: Random, *, natural: bool) -> Toolset:
    """A random set of no, a few or up to twenty tools; natural ones are often those of a demo."""
    agents = rng.choice(_AGENTS)
    if rng.random() < 0.3:
        agents = (words.invented(rng) + "-agent", words.invented(rng) + "-agent")
    kind = rng.random()
    if kind < 0.05:
        return Toolset((), None, None, None, (), agents)
    plain = kind < (0.4 if natural else 0.3)
    search = _search(rng, plain=plain) if rng.random() < 0.8 else None
    calculate = _calculate(rng, plain=plain) if rng.random() < 0.75 else None
    task = (
        Tool("task", ("description", "subagent_type"))
        if not plain and rng.random() < 0.35
        else None
    )
    others = _others(rng) if not plain else []
    if natural and rng.random() < 0.15 and not any(tool.name == "get_weather" for tool in others):
        others.append(Tool("get_weather", ("city",)))
    offered = [tool for tool in (search, calculate, task, *others) if tool]
    rng.shuffle(offered)
    return Toolset(tuple(offered), search, calculate, task, tuple(others), agents)


def _search(rng: Random, *, plain: bool) -> Tool:
    if plain:
        return Tool("search", ("query", "max_results"))
    options = rng.sample(_SEARCH_OPTIONS, rng.choice([0, 1, 1, 3]))
    return Tool(rng.choice(_SEARCH), (rng.choice(_QUERY), *options))


def _calculate(rng: Random, *, plain: bool) -> Tool:
    if plain:
        return Tool("calculate", ("expression",))
    return Tool(rng.choice(_CALCULATE), (rng.choice(_EXPRESSION),))


def _others(rng: Random) -> list[Tool]:
    """Tools beside search and calculate, without two of one name."""
    found: dict[str, Tool] = {}
    taken = {*_SEARCH, *_CALCULATE, "task"}
    if rng.random() < 0.12:
        found = {tool[0]: Tool(tool[0], tool[1:]) for tool in _KNOWN if tool[0] in _DEEP_AGENT}
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 6, 12])):
        name, *parameters = (
            rng.choice(_KNOWN) if rng.random() < 0.5 else (identifier(rng), *_names(rng))
        )
        if name not in taken:
            found.setdefault(name, Tool(name, tuple(parameters)))
    return list(found.values())


def identifier(rng: Random) -> str:
    """A tool's name, random."""
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(words.WORDS) + "_" + rng.choice(words.NOUNS)
    if kind < 0.8:
        return rng.choice(words.WORDS)
    return words.invented(rng) + "_" + words.invented(rng)


def _names(rng: Random) -> list[str]:
    return rng.sample(words.WORDS, rng.choice([1, 1, 1, 2]))
