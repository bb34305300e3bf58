"""The shape of a call's arguments: which calls take about as long as this one.

A shape is a row that everybody who may read `/runtimes` can see, and that is kept in a file and
shared between replicas. So no text of a user's ever becomes one: a value is told verbatim only when
it is one of a closed list (the schema's `enum`, true and false, well-known commands); of every
other only its size is told, in powers of two, and of a URL a keyed hash of its site.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tools_service.tools.registry import Arguments, Tool

_SIZES = 15
_PAGES = ("url", "urls", "uri")
_COMMANDS = ("command", "cmd")
_ASSIGNMENT = re.compile(r"\w+=\S*$")
_COMMANDS_TOLD = """
apt apt-get awk bash bun bundle cargo cat cd chmod clang cmake composer conda cp curl cut date
deno df diff dig docker du echo env find g++ gcc gh git go gradle grep gunzip gzip head helm id
java javac jest jq kubectl less ln ls make mkdir mv mypy mvn ninja node npm npx perl php pip pip3
pnpm printf ps psql pwd pytest python python3 rg rm rsync ruby ruff rustc scp sed sh sleep sort
sqlite3 ssh stat sudo tail tar tee terraform test timeout touch tox tr tree tsc uname uniq unzip
uv vim wc wget which xargs yarn
"""
_WELL_KNOWN = frozenset(_COMMANDS_TOLD.split())
# Second-level names under which a country registers: the site is one label more.
_SHARED = frozenset({"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"})


class Shaper:
    """Gives every call its shape. `paths` are those configured, by tool; `key` hides the sites."""

    def __init__(self, paths: Mapping[str, Sequence[str]], key: bytes) -> None:
        self._paths = paths
        self._key = hashlib.blake2b(key, digest_size=32).digest()

    def shape(self, tool: Tool, arguments: Arguments) -> str:
        """The configured shape, else the usual one for such arguments, else the tool's own."""
        paths = self._paths.get(tool.name) or _usual(tool)
        if not paths:
            return tool.shape(arguments)
        return "/".join(self._word(path, tool.input_schema, arguments) for path in paths)

    def _word(self, path: str, schema: object, value: object) -> str:
        name = ""
        for name in path.removeprefix("$.").split("."):
            schema = _inner(_inner(schema, "properties"), name)
            value = _inner(value, name)
        if value is None:
            value = _inner(schema, "default")
        listed = _inner(schema, "enum")
        if isinstance(listed, Sequence) and isinstance(value, str) and value in listed:
            return value
        if name in _PAGES or _inner(schema, "format") in ("uri", "url"):
            return self._site(value)
        if name in _COMMANDS and isinstance(value, str):
            return _command(value)
        return _size(value)

    def _site(self, value: object) -> str:
        """Those of several URLs only when they share one; then also how many there are."""
        if isinstance(value, list):
            sites = {site(str(url)) for url in value}
            return f"{_size(value)}:{self._hidden(sites.pop()) if len(sites) == 1 else '*'}"
        return self._hidden(site(str(value)))

    def _hidden(self, site: str) -> str:
        if not site:
            return "*"
        return hashlib.blake2b(site.encode(), key=self._key, digest_size=4).hexdigest()


def site(url: str) -> str:
    """The registrable domain of a URL, about: without the public suffix list some are too wide."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():
        return host  # an address
    national = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED
    return ".".join(labels[-3:] if national else labels[-2:])


def _usual(tool: Tool) -> tuple[str, ...]:
    """What is known to decide how long a call takes: the site it reads, the command it runs."""
    properties = _inner(tool.input_schema, "properties")
    found = [name for name in (*_COMMANDS, *_PAGES) if _inner(properties, name) is not None]
    return (f"$.{found[0]}",) if found else ()


def _inner(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _command(line: str) -> str:
    """The first command of a shell line, if everybody knows it."""
    words = [word for word in line.split() if not _ASSIGNMENT.match(word)]
    name = words[0].rpartition("/")[2] if words else ""
    return name if name in _WELL_KNOWN else "*"


def _size(value: object) -> str:
    """A word for what kind of value it is and how large, in powers of two."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"number:{_log2(abs(value))}"
        case str() | list() | dict():
            return f"size:{_log2(len(value))}"
        case _:
            return "other"


def _log2(size: float) -> int:
    return min(int(math.log2(1 + size)), _SIZES) if math.isfinite(size) else _SIZES
