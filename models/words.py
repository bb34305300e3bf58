"""Words, numbers and sentences that the generated dialogues are made of.

The vocabulary is that of Python's own documentation (`pydoc_data.topics`, PSF licence) and a list
of city names from the tz database. Every function draws from the random stream handed to it.
"""

import pydoc_data.topics
import re
from random import Random

_SPACE = re.compile(r"\s+")
_DOCUMENTATION = re.sub(
    r"[^\x20-\x7e]|[\"\\`*_{}<>|]", " ", " ".join(pydoc_data.topics.topics.values())
)
MANUAL: str = _SPACE.sub(" ", _DOCUMENTATION)
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9,.'() /-]{20,}[.!?]")
_BROKEN = re.compile(r" \)|\( |\.\.|--")
# What can be asked and answered is sentences: the manual without its grammars and its code.
PROSE: str = " ".join(
    re.sub(r" (?=[,.])|\(\)", "", sentence)
    for sentence in re.split(r"(?<=[.!?]) ", MANUAL)
    if _SENTENCE.fullmatch(sentence) and not _BROKEN.search(sentence)
)
WORDS: tuple[str, ...] = tuple(
    sorted({word.lower() for word in re.findall(r"\b[A-Za-z]{2,12}\b", MANUAL)})
)
_CITIES_TEXT = """
Abidjan Accra Adelaide Algiers Amsterdam Anchorage Athens Auckland Baghdad Bahrain Bangkok
Barbados Beirut Berlin Bogota Brisbane Brussels Bucharest Budapest Cairo Casablanca Chicago
Copenhagen Dakar Damascus Darwin Denver Detroit Dhaka Dublin Edmonton Halifax Harare Havana
Helsinki Honolulu Istanbul Jakarta Jamaica Jerusalem Johannesburg Kabul Karachi Kathmandu Kolkata
Lagos Lima Lisbon London Luxembourg Madrid Malta Manila Melbourne Minsk Monaco Moscow Muscat
Nairobi Oslo Paris Perth Prague Reykjavik Riga Rome Santiago Sarajevo Seoul Shanghai Singapore
Sofia Stockholm Sydney Tallinn Tehran Tokyo Toronto Vancouver Vienna Warsaw Zurich
"""
CITIES = (
    *_CITIES_TEXT.split(),
    *("New York", "Los Angeles", "Mexico City", "Buenos Aires", "Hong Kong", "Sao Paulo"),
)
_NOUNS_TEXT = """
capital population history president mayor height length area climate language currency flag
anthem founder author inventor discovery temperature price weather river mountain lake museum
university airport bridge tower castle festival recipe distance speed mass age radius release
version license benchmark paper dataset model engine planet star comet galaxy atom protein vaccine
battery satellite rocket telescope latency throughput memory scheduler router session agent token
prompt prefix cache block batch server
"""
NOUNS = tuple(_NOUNS_TEXT.split())
TERMS = (
    "vLLM", "KV cache", "KV cache eviction", "prefix caching", "speculative decoding", "LangGraph",
    "PyTorch", "GPU memory", "GPUs", "LLM serving", "LLMs", "Roundhouse", "DeepAgents", "OpenAI",
    "continuous batching", "PagedAttention", "FlashInfer", "SGLang", "MCP servers", "tool calling",
    "time to first token", "Eiffel Tower", "Ada Lovelace", "World War II", "AI agents", "HTTP/2",
    "CUDA", "x86", "GPT-4", "Qwen3", "Llama 3.1", "Mississippi", "bookkeeping", "AAA batteries",
)  # fmt: skip
_SYLLABLES_TEXT = """
ba be bi bo bu da de do fa fe ga go gra ha ho ka ke ki ko kra la le li lo lu ma me mi mo na ne ni
no pa pe po ra re ri ro sa se si so sta ta te ti to tra va ve vi vo za ze zo zu xi yo qua
"""
_SYLLABLES = _SYLLABLES_TEXT.split()
_ACCENTED = (
    "Zürich", "São", "café", "naïve", "Łódź", "20°", "€", "Curaçao", "\N{EN DASH}", "Málaga",
    "\N{RIGHT SINGLE QUOTATION MARK}s",
)  # fmt: skip
_RELATED = (
    "{s} is {q}", "the {s} is {n}", "{s} is {n} metres tall", "a {p} {s} {q}", "{s} {q}",
    "{s} was born in {y}", "{p} of {s} is {n}", "it is {n}, like {s}", "{p} and {s}", "{s}",
    "{s} keeps the {q}", "{s} was finished in {y}", "{p}: {s}", "the {p} {s} {q}",
)  # fmt: skip
_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def name(rng: Random) -> str:
    """A capitalised invented word."""
    return invented(rng).capitalize()


def invented(rng: Random) -> str:
    """A pronounceable word that means nothing; some have doubled letters."""
    word = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))
    word += rng.choice(["", "", "n", "r", "s", "x"])
    if rng.random() < 0.25:
        place = rng.randrange(len(word))
        word = word[:place] + word[place] * rng.randint(1, 2) + word[place:]
    return word


def _stutter(rng: Random) -> str:
    """Letters that repeat: vLLM, AAB, xxyxx."""
    letters = rng.sample("abcdefghklmnoprstvwxyzABCDEFGHIKLMNOPRSTVWXYZ", rng.randint(2, 3))
    word = rng.choice(letters) + "".join(letter * rng.choice([1, 1, 2, 2, 3]) for letter in letters)
    return word.upper() if rng.random() < 0.2 else word


def repetitive(rng: Random) -> str:
    """A number in which digits or groups of digits repeat, such as 3748148 or 1000000."""
    kind = rng.random()
    if kind < 0.4:
        block = str(rng.randint(0, 10 ** rng.randint(1, 3) - 1))
        return (
            str(rng.randint(1, 99))
            + block * rng.randint(2, 3)
            + rng.choice(["", str(rng.randint(0, 9))])
        )
    if kind < 0.7:
        few = rng.sample("123456789", 2)
        return "".join(rng.choices([*few, "0"], k=rng.randint(3, 8))).lstrip("0") or "11"
    if kind < 0.85:
        return str(rng.randint(1, 99)) + "0" * rng.randint(2, 6)
    return str(rng.randint(1, 9)) * rng.randint(2, 4)


def number(rng: Random) -> str:
    """A number as people write it."""
    kind = rng.random()
    if kind < 0.35:
        return str(rng.randint(0, 120))
    if kind < 0.6:
        return str(rng.randint(0, 10 ** rng.randint(2, 7)))
    if kind < 0.75:
        return repetitive(rng)
    if kind < 0.93:
        return (
            f"{rng.randint(0, 10 ** rng.randint(1, 4))}.{rng.randint(0, 10 ** rng.randint(1, 4))}"
        )
    return f"{rng.randint(1000, 10 ** rng.randint(4, 9)):,}"


def word(rng: Random) -> str:
    """One word of any kind."""
    kind = rng.random()
    if kind < 0.52:
        return rng.choice(WORDS)
    if kind < 0.64:
        return name(rng) if rng.random() < 0.6 else invented(rng)
    if kind < 0.72:
        return rng.choice(CITIES)
    if kind < 0.82:
        return rng.choice(NOUNS)
    if kind < 0.87:
        return rng.choice(TERMS)
    if kind < 0.93:
        return number(rng)
    if kind < 0.96:
        return _stutter(rng)
    if kind < 0.98:
        return rng.choice(_ACCENTED)
    return "".join(rng.choices(_ALPHANUMERIC, k=rng.randint(2, 8)))


def place(rng: Random) -> str:
    """A city, real or invented."""
    return rng.choice(CITIES) if rng.random() < 0.5 else name(rng)


def excerpt(rng: Random, words: int, text: str = PROSE) -> str:
    """So many words of running text."""
    start = rng.randrange(len(text) - 12 * words - 60)
    return " ".join(text[start : start + 12 * words + 60].split(" ")[1 : words + 1])


def tidy(text: str) -> str:
    """The text as one clause: no quotes, no operators, no end of a sentence in the middle."""
    text = re.sub(r"[\"\\?;\n]|(?<!\S)[-+*/=]+(?!\S)", " ", text)
    text = re.sub(r"\.(?=\s)|,(?= (and|then|also)\b)", "", text)
    return _SPACE.sub(" ", text).strip(" .!,;:'")


def phrase(rng: Random, low: int = 1, high: int = 9) -> str:
    """A noun phrase, an excerpt or a heap of words."""
    kind = rng.random()
    if kind < 0.3:
        text = " ".join(word(rng) for _ in range(rng.randint(low, high)))
    elif kind < 0.7:
        pattern = rng.choice(
            ["the {n} of {c}", "{n} of {c}", "the {n} of the {w} {m}", "{c} {n}", "the {n} in {c}",
             "{w} {n} {y}", "the oldest {n} in {c}", "{t}", "{t} {n}", "{n} of {t}", "{t} in {t2}"]
        )  # fmt: skip
        text = pattern.format(
            n=rng.choice(NOUNS), m=rng.choice(NOUNS), c=place(rng), w=rng.choice(WORDS),
            t=rng.choice(TERMS), t2=rng.choice(TERMS), y=rng.randint(1800, 2030),
        )  # fmt: skip
    else:
        text = excerpt(rng, rng.randint(low + 1, high + 2))
    return tidy(text) or rng.choice(NOUNS)


def topic(rng: Random) -> str:
    """What a question is about; now and then two things joined by "and"."""
    if rng.random() < 0.05:
        return f"{phrase(rng, 1, 3)} and {phrase(rng, 1, 3)}"
    return phrase(rng)


def expression(rng: Random) -> str:
    """Arithmetic with two to four numbers."""
    tight = rng.random() < 0.12
    count = rng.choice([2, 2, 2, 3, 3, 4])
    parts = [_operand(rng)]
    for _ in range(count - 1):
        parts += [rng.choice(["+", "-", "*", "/", "*", "+", "%", "**"]), _operand(rng)]
    if count > 2 and rng.random() < 0.5:
        start = rng.choice([0, 2])
        parts[start] = "(" + parts[start]
        parts[start + 2] += ")"
    return ("" if tight else " ").join(parts)


def _operand(rng: Random) -> str:
    return number(rng).replace(",", "") if rng.random() < 0.5 else str(rng.randint(1, 99))


def span(rng: Random, text: str) -> str:
    """A few words of a text as they stand there."""
    parts = text.split()
    count = rng.randint(min(2, len(parts)), min(5, len(parts)))
    start = rng.randrange(len(parts) - count + 1)
    return tidy(" ".join(parts[start : start + count])) or rng.choice(NOUNS)


def sentence(rng: Random, about: str = "") -> str:
    """One sentence with its full stop; most of those about something repeat words of it."""
    if about and rng.random() < 0.4:
        return _related(rng, about)
    kind = rng.random()
    subject = (
        f"the {rng.choice(NOUNS)} of {place(rng)}" if rng.random() < 0.6 else phrase(rng, 1, 4)
    )
    if kind < 0.3:
        verb = rng.choice(["is", "was", "has", "became", "means", "keeps", "needs"])
        text = f"{subject} {verb} {rng.choice([number, name, phrase])(rng)}"
    elif kind < 0.4:
        text = f"{subject} was built in {rng.randint(1000, 2030)} and is {number(rng)} metres tall"
    elif kind < 0.65:
        text = phrase(rng, 2, 12)
    elif kind < 0.7:
        text = f"it is {number(rng)}"
    else:
        text = tidy(excerpt(rng, rng.randint(4, 22))) or "nothing"
    return text[0].upper() + text[1:] + "."


def _related(rng: Random, about: str) -> str:
    """A sentence with words of the question in it, as real results have them."""
    pattern = rng.choice(_RELATED)
    text = pattern.format(
        s=span(rng, about),
        p=phrase(rng, 1, 4),
        q=phrase(rng, 1, 6),
        n=number(rng),
        y=rng.randint(1000, 2030),
    )
    return text[0].upper() + text[1:] + "."


def paragraph(rng: Random, sentences: int, about: str = "") -> str:
    """So many sentences on one line."""
    return " ".join(sentence(rng, about) for _ in range(sentences))
