"""What is taken from a body, and what is refused with the field's name and a remedy."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.wire import ApiRequest, ServerTools, parse

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
SERVER: dict[str, Any] = {"type": "mcp", "server_label": "house"}
OWN: dict[str, Any] = {"type": "function", "function": {"name": "mine"}}


def read(**fields: object) -> ApiRequest:
    return parse(json.dumps(CHAT | fields).encode(), "chat", "house")


def refused(**fields: object) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    return caught.value


def refused_entry(**fields: object) -> BadRequest:
    return refused(tools=[OWN, SERVER | fields])


def test_what_the_gateway_acts_on_is_taken_out_and_the_rest_is_the_engines() -> None:
    request = read(
        model="m",
        stream=True,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
        store=False,
        modalities=["text"],
        temperature=0.5,
    )
    assert request.body == CHAT | {"temperature": 0.5}
    assert (request.model, request.stream) == ("m", True)
    assert request.include_usage and request.usage_on_every_chunk


def test_nothing_needs_to_be_said_but_what_the_engine_needs() -> None:
    request = read()
    assert request.body == CHAT
    assert (request.model, request.stream, request.include_usage) == (None, False, False)
    assert (request.server_tools, request.max_tool_calls) == (None, None)


def test_null_means_absent() -> None:
    names = ("model", "stream", "stream_options", "store", "service_tier", "metadata")
    bare = read()
    assert replace(read(**dict.fromkeys(names)), size=bare.size) == bare


def test_an_unknown_field_is_left_to_the_engine() -> None:
    assert read(no_such_field=1).body["no_such_field"] == 1


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": 1e400}', "not valid JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not valid JSON"),
        (b'{"a": ' + b"[" * 100_000, "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as caught:
        parse(raw, "chat", "house")
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("stream", "yes", "true or false"),
        ("stream", 1, "true or false"),
        ("model", 7, "a string"),
        ("functions", [], "use 'tools'"),
        ("functions", None, "use 'tools'"),
        ("function_call", "auto", "use 'tool_choice'"),
        ("store", True, "leave it out"),
        ("service_tier", "scale", "leave it out"),
        ("service_tier", ["auto"], "leave it out"),
        ("modalities", ["text", "audio"], "leave it out"),
        ("metadata", "text", "object"),
        ("metadata", {"depth": {"of": "two"}}, "object of strings"),
        ("metadata", {"large": 10**30}, "object of strings"),
        ("stream_options", {"include_usage": True}, "needs 'stream'"),
        ("max_tool_calls", 3, "'mcp' entry"),
    ],
)
def test_a_refusal_names_the_field_and_the_remedy(field: str, value: object, remedy: str) -> None:
    error = refused(**{field: value})
    assert error.param == field
    assert f"'{field}'" in error.message
    assert remedy in error.message


def test_a_refused_value_is_not_said_back_at_length() -> None:
    assert len(refused(store="x" * 10_000).message) < 200


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ([], "stream_options"),
        ("usage", "stream_options"),
        ({"include_obfuscation": True}, "stream_options.include_obfuscation"),
        ({"include_usage": 1}, "stream_options.include_usage"),
        ({"include_usage": True, "no_such": True}, "stream_options"),
    ],
)
def test_stream_options_are_checked_to_the_last_field(options: object, param: str) -> None:
    assert refused(stream=True, stream_options=options).param == param


def test_usage_on_every_chunk_needs_usage_at_all() -> None:
    request = read(stream=True, stream_options={"continuous_usage_stats": True})
    assert not request.usage_on_every_chunk


def test_obfuscation_may_be_declined() -> None:
    assert read(stream=True, stream_options={"include_obfuscation": False}).stream


def test_the_answer_repeats_metadata_and_the_one_tier() -> None:
    request = read(metadata={"k": "v"}, service_tier="auto")
    assert request.echo == {"metadata": {"k": "v"}, "service_tier": "default"}


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, None),
        ([], ()),
        (["b", "a"], ("b", "a")),
        (["a", "a"], ("a",)),
        ({"tool_names": ["a"]}, ("a",)),
    ],
)
def test_allowed_tools_are_a_list_an_object_or_all(
    allowed: object, names: tuple[str, ...] | None
) -> None:
    entry = SERVER | {"allowed_tools": allowed}
    assert read(tools=[entry]).server_tools == ServerTools(names)


def test_an_entry_without_allowed_tools_means_all() -> None:
    assert read(tools=[SERVER]).server_tools == ServerTools(None)


def test_the_server_entry_is_taken_out_of_the_clients_tools() -> None:
    assert read(tools=[SERVER, OWN]).body["tools"] == [OWN]
    assert "tools" not in read(tools=[SERVER]).body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"server_label": "other"}, "server_label"),
        ({"server_label": None}, "server_label"),
        ({"server_url": "http://evil"}, "server_url"),
        ({"headers": {}}, "headers"),
        ({"require_approval": "always"}, "require_approval"),
        ({"require_approval": {"never": {"tool_names": []}}}, "require_approval"),
        ({"allowed_tools": "all"}, "allowed_tools"),
        ({"allowed_tools": [1]}, "allowed_tools"),
        ({"allowed_tools": {"tool_names": "a"}}, "allowed_tools"),
        # Passed over, it would give the model the tools that write.
        ({"allowed_tools": {"read_only": True}}, "allowed_tools"),
        ({"allowed_tools": {"tool_names": ["a"], "read_only": True}}, "allowed_tools"),
    ],
)
def test_a_wrong_server_entry_names_its_place_and_field(
    fields: dict[str, object], param: str
) -> None:
    assert refused_entry(**fields).param == f"tools[1].{param}"


def test_approval_may_be_declined() -> None:
    entry = SERVER | {"require_approval": "never", "server_description": "d"}
    assert read(tools=[entry]).server_tools == ServerTools(None)


def test_a_second_server_entry_is_refused_where_it_stands() -> None:
    error = refused(tools=[SERVER, OWN, SERVER])
    assert (error.param, "one 'mcp' entry" in error.message) == ("tools[2]", True)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
def test_a_wrong_limit_of_calls_is_refused(limit: object) -> None:
    assert refused(tools=[SERVER], max_tool_calls=limit).param == "max_tool_calls"


def test_a_limit_of_calls_is_taken() -> None:
    assert read(tools=[SERVER], max_tool_calls=3).max_tool_calls == 3


@pytest.mark.parametrize("tools", ["search", 7, {"type": "mcp"}, [1, None]])
def test_tools_of_a_wrong_shape_are_left_to_the_engine(tools: object) -> None:
    assert read(tools=tools).body["tools"] == tools


def test_a_text_completion_has_no_server_tools() -> None:
    raw = json.dumps({"prompt": "hi", "tools": [SERVER], "max_tool_calls": 3}).encode()
    request = parse(raw, "completion", "house")
    assert request.server_tools is None
    assert request.body["tools"] == [SERVER]
