"""Shapes: what decides how long a call takes, and nothing that a user wrote."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.tools_service.tool_stand_ins import stand
from tools_service.config import ToolsServiceConfig
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema
from tools_service.tools.shapes import Shaper, site

OPEN = Annotations(read_only=True, idempotent=True, open_world=True)
DEPTH: Schema = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "search_depth": {"type": "string", "enum": ["basic", "advanced"], "default": "basic"},
        "options": {"type": "object", "properties": {"raw": {"type": "boolean"}}},
    },
}


@dataclass
class Described:
    """A tool of which only the description matters."""

    input_schema: Schema
    name: str = "described"
    description: str = ""
    output_schema: Schema | None = None
    annotations: Annotations = field(default=OPEN)
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        return "own"

    async def run(self, arguments: Arguments, context: Context) -> Output:
        return Output("")


def takes(*names: str) -> Described:
    return Described({"type": "object", "properties": {name: {} for name in names}})


def shape(tool: Described, *paths: str, key: bytes = b"", **arguments: object) -> str:
    return Shaper({tool.name: paths}, key).shape(tool, arguments)


def test_a_tool_without_paths_names_its_own_shapes() -> None:
    assert shape(Described(DEPTH), query="cats") == "own"


def test_values_the_schema_lists_are_told_as_they_are_and_the_default_where_none_is_given() -> None:
    tool = Described(DEPTH)
    assert shape(tool, "$.search_depth", search_depth="advanced") == "advanced"
    assert shape(tool, "$.search_depth") == "basic"
    assert shape(tool, "$.options.raw", "$.search_depth", options={"raw": True}) == "true/basic"


def test_of_everything_else_only_the_size_is_told() -> None:
    tool = takes("x")
    values: tuple[object, ...] = ("secret", [1, 2, 3], {}, -7, 0.5, None)
    found = [shape(tool, "$.x", x=value) for value in values]
    assert found == ["size:2", "size:2", "size:0", "number:3", "number:0", "none"]
    assert shape(tool, "$.x.y.z", x="text") == "none"
    assert shape(tool, "$.x", x=float("inf")) == "number:15"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("git status", "git"),
        ("FOO=1 /usr/bin/python3 secret.py", "python3"),
        ("./my-secret-project --deploy", "*"),
        ("", "*"),
    ],
)
def test_a_shell_line_is_its_first_command_if_everybody_knows_it(line: str, word: str) -> None:
    assert shape(takes("command"), command=line) == word


def test_a_page_is_known_by_its_site_but_nobody_can_read_which() -> None:
    tool = takes("url")
    one = shape(tool, key=b"k", url="https://docs.example.com/secret?token=1")
    assert one == shape(tool, key=b"k", url="http://EXAMPLE.com:8080/other")
    assert one != shape(tool, key=b"k", url="https://example.org")
    assert one != shape(tool, key=b"another", url="https://example.com")
    assert "example" not in one
    assert shape(tool, key=b"k", url="http://[broken") == "*"


def test_several_pages_are_told_apart_by_their_site_only_when_they_share_one() -> None:
    tool = takes("urls")
    mixed = shape(tool, urls=["https://a.com/1", "https://b.com", "https://c.com"])
    same = shape(tool, urls=["https://a.com/1", "https://www.a.com/2"])
    assert mixed == "size:2:*"
    assert same.startswith("size:1:")
    assert not same.endswith("*")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.b.example.com/x", "example.com"),
        ("https://shop.example.co.uk", "example.co.uk"),
        ("https://t.co/x", "t.co"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://[::1]/", "::1"),
        ("no url", ""),
    ],
)
def test_a_site_is_what_somebody_registered(url: str, name: str) -> None:
    assert site(url) == name


@given(
    st.text("abcdefghijklmnop", min_size=8),
    st.sampled_from(["url", "urls", "command", "query", "search_depth"]),
)
def test_what_a_user_writes_never_becomes_a_row(text: str, name: str) -> None:
    values: tuple[object, ...] = (text, [text], {"a": text}, f"https://{text}.com")
    for tool in (takes(name), Described(DEPTH)):
        shaper = Shaper({tool.name: (f"$.{name}",)}, b"")
        assert not any(text in shaper.shape(tool, {name: value}) for value in values)


@pytest.mark.parametrize("path", ["depth", "$", "$.a[0]", "$..a", "$.a b"])
def test_a_path_that_would_not_be_followed_stops_the_start(path: str) -> None:
    with pytest.raises(ValidationError):
        ToolsServiceConfig.model_validate({"per_tool": {"search": {"shape": [path]}}})


def test_the_service_uses_the_configured_paths() -> None:
    parts = stand(per_tool={"act": {"shape": ["$.text"]}}).parts
    assert parts.registry.shape(parts.registry.find("act"), {"text": "secret"}) == "size:2"
