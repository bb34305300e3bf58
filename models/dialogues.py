"""Generated dialogues with tool calls: what the demo model learns from and is judged by.

A dialogue is a list of segments of one prompt, exactly as `template.jinja` renders it. The model
learns the segments that an assistant writes. The same stream gives the same dialogues.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from models import questions, results, toolsets, words
from models.questions import Scene
from models.results import FINAL
from models.toolsets import Toolset

SYSTEM_LIMIT = 4000  # characters of system text that the chat template keeps
REFUSAL = FINAL + "I cannot do that with the tools I have."
Split = Literal["train", "held-out"]
Stage = Literal["short", "unrelated", "many", "full"]
_GREETING = "Hello! How can I help you?"
_INTRODUCTION = "I am Roundhouse's demo model: tiny, but I really call tools."
_ABILITY = "I call tools and report their results."
_WELCOME = "You are welcome."
_SMALL_TALK = (
    ("Hello", _GREETING), ("Hi", _GREETING), ("hello!", _GREETING), ("Hey", _GREETING),
    ("hi!", _GREETING), ("Hello!", _GREETING), ("Hi there", _GREETING),
    ("Good morning", _GREETING), ("Thanks", _WELCOME), ("Thank you!", _WELCOME),
    ("thanks!", _WELCOME), ("Thank you", _WELCOME), ("Who are you?", _INTRODUCTION),
    ("What are you?", _INTRODUCTION), ("What can you do?", _ABILITY), ("Bye", "Goodbye."),
    ("Goodbye", "Goodbye."), ("How are you?", "I am well, thank you."),
    ("What is your name?", _INTRODUCTION),
)  # fmt: skip
_REPEAT = ("Repeat: {}", "Say: {}", "Repeat after me: {}")
_MANNERS = (
    "You are a helpful assistant.", "You are an expert researcher.", "Answer briefly.",
    "Use the tools.", "You have access to a number of standard tools.",
    "Use the tools when you need them, and answer briefly.",
    "Call search for facts and calculate for arithmetic.", "You can call several tools at once.",
    "Begin the last message with Final Answer:", "Ask the research-agent for research.",
    "Be concise.", "If a tool fails, say so.", "Search for sources before you answer.",
    "Do not guess.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a dialogue as text; the model learns what the assistant says."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the rendered dialogue, and whether the model is to produce it."""

    text: str
    learn: bool


@dataclass(frozen=True, slots=True)
class Dialogue:
    """System text, offered tools and messages."""

    system: str
    tools: Toolset
    messages: tuple[Message, ...]

    def segments(self) -> list[Segment]:
        """The dialogue as the chat template renders it, cut where the model takes over.

        The results of a turn are numbered, so that a line of the answer can find its own.
        """
        system = self.system[:SYSTEM_LIMIT] + "\n" if self.system else ""
        lines = "\n".join(tool.line() for tool in self.tools.offered)
        tools = f"<tools>\n{lines}\n</tools>" if lines else ""
        found = [Segment(f"<|im_start|>system\n{system}{tools}<|im_end|>\n", False)]
        results = 0
        for message in self.messages:
            results = {"user": 0, "tool": results + 1}.get(message.role, results)
            number = f"{results}. " if message.role == "tool" else ""
            found.append(Segment(f"<|im_start|>{message.role}\n{number}", False))
            found.append(Segment(message.text + "<|im_end|>", message.role == "assistant"))
            found.append(Segment("\n", False))
        return found


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the dialogues of a stage are: the weights of each size, and what is related."""

    turns: tuple[float, float, float, float]  # 1, 2, 3 or 6 turns
    sentences: tuple[float, float, float]  # results of up to 2, 4 or 12 sentences
    needs: tuple[float, float, float]  # 1, 2 or 3 things asked for at once
    system: float  # how much of the range of system texts is in use
    related: bool  # whether results and later questions repeat words of the question


_SHAPES: dict[Stage, Shape] = {
    "short": Shape((1, 0, 0, 0), (1, 0, 0), (0.5, 0.3, 0.2), 0.5, related=False),
    "unrelated": Shape((0.7, 0.2, 0.1, 0), (0.8, 0.2, 0), (0.4, 0.3, 0.3), 0.94, related=False),
    "many": Shape((0.75, 0.2, 0.05, 0), (0.8, 0.18, 0.02), (0.4, 0.3, 0.3), 0.9, related=True),
    "full": Shape((0.7, 0.2, 0.08, 0.02), (0.8, 0.17, 0.03), (0.62, 0.27, 0.11), 1, related=True),
}


def stream(split: Split, seed: int) -> Random:
    """The random stream of a split; streams of different splits or seeds have nothing in common."""
    return Random(f"roundhouse demo model, {split}, {seed}")


def draw(rng: Random, stage: Stage = "full") -> Dialogue:
    """A dialogue of one turn without much around it (short), or of any shape (full).

    In most the results speak of what was asked, so that the same words stand in several places
    and only one of them is the right one to go on from; unrelated ones are easier to copy. In
    many there are more calls in one message. Models are judged by full ones.
    """
    shape = _SHAPES[stage]
    tools = toolsets.draw(rng, natural=shape.related)
    turns = rng.choices([1, 2, 3, 6], shape.turns)[0]
    # Longer texts in fewer places: the mean length, and with it the cost of training, stays low.
    sentences = rng.choices([2, 4, 12], shape.sentences)[0]
    messages: list[Message] = []
    for _ in range(turns):
        earlier = _last_line(messages) if messages and shape.related else ""
        messages += _turn(rng, Scene(tools, earlier), sentences, shape)
    return Dialogue(_system(rng, shape.system * rng.random()), tools, tuple(messages))


def _last_line(messages: list[Message]) -> str:
    """What the last answer ends with, as far as one can ask about it."""
    return messages[-1].text.removeprefix(FINAL).rpartition("\n")[2]


def _system(rng: Random, kind: float) -> str:
    """System text: none, a sentence, instructions, or an excerpt of up to 4,500 characters."""
    if kind < 0.3:
        return ""
    if kind < 0.5:
        return rng.choice(_MANNERS[:2])
    if kind < 0.75:
        return " ".join(rng.sample(_MANNERS, rng.randint(1, 6)))
    if kind < 0.92:
        return words.excerpt(rng, rng.randint(3, 40), words.MANUAL)
    parts = [
        words.excerpt(rng, rng.randint(10, 120), words.MANUAL) for _ in range(rng.randint(1, 5))
    ]
    return "\n".join([rng.choice(_MANNERS), *parts])


def _turn(rng: Random, scene: Scene, sentences: int, shape: Shape) -> list[Message]:
    """A user's message, and all that follows until the final answer."""
    kind = rng.random()
    if kind < 0.06:
        question, answer = rng.choice(_SMALL_TALK)
        return [Message("user", question), Message("assistant", answer)]
    if kind < 0.12:
        clause = rng.random() < 0.5
        text = words.phrase(rng, 3, 24) if clause else words.paragraph(rng, rng.randint(1, 3))
        return [Message("user", rng.choice(_REPEAT).format(text)), Message("assistant", text)]
    count = rng.choices([1, 2, 3], shape.needs)[0] if scene.tools.offered else 1
    needs = []
    for _ in range(count):
        needs.append(questions.need(rng, scene))
        if shape.related:
            scene = replace(scene, earlier=needs[-1].clause)
    if rng.random() < 0.85:
        needs[1:] = [need.lowered() for need in needs[1:]]
    parallel = rng.random() < 0.6
    asked = Message("user", questions.joined(rng, needs, parallel=parallel))
    calls = [need.call for need in needs if need.call]
    if len(calls) < len(needs):
        return [asked, Message("assistant", REFUSAL)]
    rounds = [calls] if parallel else [[call] for call in calls]
    question = asked.text if shape.related else ""
    return [asked, *_work(rng, rounds, sentences, question)]


def _work(
    rng: Random, rounds: list[list[questions.Call]], sentences: int, question: str
) -> list[Message]:
    """The rounds of calls, their results, and the final answer."""
    messages, answers = [], []
    for batch in rounds:
        messages.append(Message("assistant", "\n".join(call.text() for call in batch)))
        for call in batch:
            about = ""
            if question:
                about = rng.choice([*[call.subject] * 4, question])
            result = results.draw(rng, call.kind, results.Source(sentences, about))
            messages.append(Message("tool", result.text))
            answers.append(result.answer)
    lines = answers
    if len(answers) > 1:
        lines = [f"{number}. {answer}" for number, answer in enumerate(answers, 1)]
    return [*messages, Message("assistant", FINAL + "\n".join(lines))]
