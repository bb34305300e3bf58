"""What tools answer, and the line that the model makes of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from models import words

FINAL = "Final Answer: "
NOTHING = "I found nothing."
_ERRORS = (
    "timed out after 10 s", "connection refused", "rate limit exceeded", "division by zero",
    "unknown tool", "invalid syntax", "no such file", "permission denied", "bad request",
)  # fmt: skip
_URLS = (
    "https://www.{}.org/{}", "https://{}.com/wiki/{}", "corpus/{}/{}.md", "https://docs.{}.io/{}",
)  # fmt: skip
_JSON_STYLES: tuple[Callable[[object], str], ...] = (
    lambda value: json.dumps(value, ensure_ascii=False),
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    lambda value: json.dumps(value, ensure_ascii=False, indent=2),
)


@dataclass(frozen=True, slots=True)
class Result:
    """The text of a tool message, and its line of the final answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Source:
    """What the texts of a result are made from: how many sentences at most, and about what."""

    sentences: int
    about: str = ""

    def paragraph(self, rng: Random) -> str:
        """Some sentences."""
        return words.paragraph(rng, rng.randint(1, self.sentences), self.about)

    def clause(self, rng: Random, low: int, high: int) -> str:
        """Some words, now and then those that it is about."""
        if self.about and rng.random() < 0.4:
            return words.span(rng, self.about)
        return words.phrase(rng, low, high)


def quote(text: str) -> str:
    """The first sentence of the first line, without a "Final Answer:" of its own."""
    line = text.removeprefix(FINAL).split("\n", 1)[0]
    head, stop, _ = line.partition(". ")
    return head + stop.strip()


def draw(rng: Random, kind: str, source: Source) -> Result:
    """A result for a call of this kind."""
    if rng.random() < 0.06:
        return _failure(rng)
    if kind == "search":
        return _found(rng, source) if rng.random() < 0.72 else _plain(rng, source)
    if kind == "calculate":
        return _computed(rng, source)
    if kind == "task":
        return _plain(rng, source, prefix=FINAL if rng.random() < 0.5 else "")
    return _wrapped(rng, source) if rng.random() < 0.2 else _plain(rng, source)


def _dump(rng: Random, value: object) -> str:
    return rng.choices(_JSON_STYLES, [0.5, 0.4, 0.1])[0](value)


def _failure(rng: Random) -> Result:
    """An error, as text or as JSON."""
    message = rng.choice(_ERRORS) if rng.random() < 0.4 else words.phrase(rng, 2, 9)
    if rng.random() < 0.4:
        message = f"{message}: {words.word(rng)}"
    text = rng.choice(["error: ", "Error: "]) + message
    if rng.random() < 0.4:
        text = _dump(rng, {"error": message})
    return Result(text, f"The tool failed: {message}.")


def _plain(rng: Random, source: Source, prefix: str = "") -> Result:
    """Bare text: a value, a clause, or sentences."""
    kind = rng.random()
    if kind < 0.25:
        text = words.number(rng)
    elif kind < 0.45:
        text = source.clause(rng, 1, 12)
    else:
        text = source.paragraph(rng)
    if rng.random() < 0.2:
        text += "\n" + source.paragraph(rng)
    if not prefix and rng.random() < 0.05:
        prefix = FINAL
    return Result(prefix + text, quote(text))


def _computed(rng: Random, source: Source) -> Result:
    """A number, mostly as {"result": number}."""
    value = words.number(rng).replace(",", "")
    if rng.random() < 0.12:
        value = "-" + value
    if rng.random() < 0.3:
        return Result(value, value)
    number = float(value) if "." in value else int(value)
    shown = json.dumps(number)
    body: dict[str, object] = {"result": shown if rng.random() < 0.06 else number}
    if rng.random() < 0.1:
        body = {"expression": source.about or words.expression(rng), **body}
    return Result(_dump(rng, body), shown)


def _wrapped(rng: Random, source: Source) -> Result:
    """Text as {"result": text}."""
    text = source.paragraph(rng)
    return Result(_dump(rng, {"result": text}), quote(text))


def _found(rng: Random, source: Source) -> Result:
    """Search results as JSON."""
    count = 0 if rng.random() < 0.04 else rng.randint(1, 3 if source.sentences < 4 else 6)
    pages = [_page(rng, source) for _ in range(count)]
    body: dict[str, object] = {"results": pages}
    style = rng.random()
    if style < 0.2:
        body = {"query": source.about or words.topic(rng), **body}
    elif style < 0.3:
        head = {
            "query": source.about or words.topic(rng),
            "follow_up_questions": None,
            "answer": None,
        }
        body = {**head, "images": [], **body, "response_time": round(rng.random() * 3, 2)}
    return Result(_dump(rng, body), quote(str(pages[0]["content"])) if pages else NOTHING)


def _page(rng: Random, source: Source) -> dict[str, object]:
    """One search result with title, url, content and score."""
    content = source.paragraph(rng)
    if rng.random() < 0.1:
        content = source.clause(rng, 3, 12)
    if rng.random() < 0.06:
        content = content.replace(" ", "\n", 1) if rng.random() < 0.3 else _quoted(rng, content)
    host = rng.choice(words.WORDS) if rng.choice([False, True]) else words.invented(rng)
    path = "-".join(rng.choices(words.WORDS, k=rng.randint(1, 3)))
    url = rng.choice(_URLS)
    page: dict[str, object] = {
        "title": source.clause(rng, 1, 6),
        "url": url.format(host, path),
        "content": content,
        "score": round(rng.random(), rng.choice([2, 2, 3, 4, 7])),
    }
    if rng.random() < 0.2:
        page = {"url": page["url"], "title": page["title"], **page, "raw_content": None}
    return page


def _quoted(rng: Random, content: str) -> str:
    """The content with one of its words in quotation marks."""
    first, space, rest = content.partition(" ")
    second, gap, rest = rest.partition(" ")
    return f'{first}{space}"{second}"{gap}{rest}' if gap and not second.endswith(".") else content
