"""Natural dialogues that the demo model is expected to get right, word for word."""

import json
from dataclasses import dataclass

Arguments = dict[str, str]
SEARCH_AND_CALCULATE = ("search(query, max_results)", "calculate(expression)")
WITH_WEATHER = (*SEARCH_AND_CALCULATE, "get_weather(city)")
SUPERVISOR = ("write_todos(todos)", "task(description, subagent_type)", *SEARCH_AND_CALCULATE)
REFUSAL = "Final Answer: I cannot do that with the tools I have."


@dataclass(frozen=True, slots=True)
class Step:
    """A tool call that is expected, and the result it then gets."""

    name: str
    arguments: Arguments
    result: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """A question, the rounds of calls, and the answer."""

    question: str
    rounds: tuple[tuple[Step, ...], ...]
    answer: str
    tools: tuple[str, ...] = SEARCH_AND_CALCULATE


def found(*contents: str) -> str:
    """Search results as JSON."""
    pages = [
        {
            "title": f"Page {index}",
            "url": f"https://example.org/{index}",
            "content": text,
            "score": score,
        }
        for index, (text, score) in enumerate(zip(contents, (0.91, 0.64, 0.38), strict=False), 1)
    ]
    return json.dumps({"results": pages}, ensure_ascii=False)


def _search(query: str, *contents: str) -> Step:
    return Step("search", {"query": query}, found(*contents))


def _calculate(expression: str, result: float) -> Step:
    return Step("calculate", {"expression": expression}, json.dumps({"result": result}))


_EVICTION = (
    "A full KV cache evicts the blocks that were used least recently. "
    "Sessions that wait for a tool lose theirs first.",
    "PagedAttention keeps the cache in blocks of sixteen tokens.",
)
_GATEWAY = (
    "Roundhouse is a serving gateway that knows what agents do. "
    "It routes each session to one engine."
)
_VLLM = "vLLM keeps the blocks of a shared prefix. It hashes them."
_TOWER = "The Eiffel Tower is 330 metres tall. It was finished in 1889."
_BERLIN = "The population of Berlin is 3748148. It is the largest city of Germany."
_ADA = "Ada Lovelace was born in 1815. She wrote the first program."

_ERRAND = {"description": "search for KV cache eviction", "subagent_type": "research-agent"}

TRANSCRIPTS = (
    Transcript("What is 12 * 7?", ((_calculate("12 * 7", 84),),), "Final Answer: 84"),
    Transcript("Calculate (17 * 4) - 9", ((_calculate("(17 * 4) - 9", 59),),), "Final Answer: 59"),
    Transcript(
        "How much is 1234 * 5678?",
        ((_calculate("1234 * 5678", 7006652),),),
        "Final Answer: 7006652",
    ),
    Transcript("What is 7 / 2?", ((_calculate("7 / 2", 3.5),),), "Final Answer: 3.5"),
    Transcript(
        "Search for KV cache eviction",
        ((_search("KV cache eviction", *_EVICTION),),),
        "Final Answer: A full KV cache evicts the blocks that were used least recently.",
    ),
    Transcript(
        "What does Roundhouse do?",
        ((_search("What does Roundhouse do", _GATEWAY),),),
        "Final Answer: Roundhouse is a serving gateway that knows what agents do.",
    ),
    Transcript(
        "Who was Ada Lovelace?",
        ((_search("Who was Ada Lovelace", _ADA),),),
        "Final Answer: Ada Lovelace was born in 1815.",
    ),
    Transcript(
        "Look up vLLM prefix caching",
        ((_search("vLLM prefix caching", _VLLM),),),
        "Final Answer: vLLM keeps the blocks of a shared prefix.",
    ),
    Transcript(
        "Search for the population of Berlin",
        ((_search("the population of Berlin", _BERLIN),),),
        "Final Answer: The population of Berlin is 3748148.",
    ),
    Transcript(
        "Search for the height of the Eiffel Tower and also calculate 330 / 3",
        ((_search("the height of the Eiffel Tower", _TOWER), _calculate("330 / 3", 110)),),
        "Final Answer: 1. The Eiffel Tower is 330 metres tall.\n2. 110",
    ),
    Transcript(
        "Search for the height of the Eiffel Tower, then calculate 330 / 3",
        ((_search("the height of the Eiffel Tower", _TOWER),), (_calculate("330 / 3", 110),)),
        "Final Answer: 1. The Eiffel Tower is 330 metres tall.\n2. 110",
    ),
    Transcript(
        "Search for KV cache eviction, and also search for Ada Lovelace, "
        "and also calculate 11 * 11",
        ((_search("KV cache eviction", *_EVICTION), _search("Ada Lovelace", _ADA),
          _calculate("11 * 11", 121)),),
        "Final Answer: 1. A full KV cache evicts the blocks that were used least recently.\n"
        "2. Ada Lovelace was born in 1815.\n3. 121",
    ),
    Transcript(
        "What is the weather in Paris?",
        ((Step("get_weather", {"city": "Paris"}, "sunny, 21 degrees"),),),
        "Final Answer: sunny, 21 degrees",
        WITH_WEATHER,
    ),
    Transcript(
        "Ask the research-agent to search for KV cache eviction",
        ((Step("task", _ERRAND, "Final Answer: The least recently used block goes first."),),),
        "Final Answer: The least recently used block goes first.",
        SUPERVISOR,
    ),
    Transcript(
        "Search for speculative decoding",
        ((Step("search", {"query": "speculative decoding"}, "error: timed out after 10 s"),),),
        "Final Answer: The tool failed: timed out after 10 s.",
    ),
    Transcript(
        "Calculate 5 / 0",
        ((Step("calculate", {"expression": "5 / 0"}, '{"error": "division by zero"}'),),),
        "Final Answer: The tool failed: division by zero.",
    ),
    Transcript("Search for KV cache eviction", (), REFUSAL, ()),
    Transcript("What is 12 * 7?", (), REFUSAL, ("search(query, max_results)",)),
    Transcript("Hello", (), "Hello! How can I help you?"),
    Transcript("Thank you!", (), "You are welcome.", ()),
)  # fmt: skip
