"""Request bodies that once were right: valid ones with junk put in at random places."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

Body: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]

_OWN_TOOL = {
    "type": "function",
    "function": {
        "name": "mine",
        "description": "Mine.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}
_CALL = {"id": "c1", "type": "function", "function": {"name": "mine", "arguments": "{}"}}
CHATS: tuple[Body, ...] = (
    {"messages": [{"role": "user", "content": "hi"}]},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": None, "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        "tools": [_OWN_TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_completion_tokens": 4,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 1,
        "logprobs": True,
        "top_logprobs": 2,
        "user": "u",
        "metadata": {"k": "v"},
        "service_tier": "auto",
        "session_id": "s",
    },
    {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [
            _OWN_TOOL,
            {
                "type": "mcp",
                "server_label": "roundhouse",
                "allowed_tools": {"tool_names": ["search"]},
                "require_approval": "never",
            },
        ],
        "max_tool_calls": 2,
        "max_tokens": 8,
    },
    {
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "n": 2,
        "max_tokens": 4,
        "response_format": {"type": "json_object"},
    },
)
COMPLETIONS: tuple[Body, ...] = (
    {"prompt": "hi", "max_tokens": 4},
    {"prompt": ["a", "b"], "max_tokens": 4, "echo": True, "logprobs": 1, "n": 2, "stop": "END"},
    {"prompt": [1, 2, 3], "max_tokens": 4, "stream": True, "stream_options": {}},
)

_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(10**30), 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
    st.sampled_from(["", "\x00", "é", "会话", "2", "2.0", "auto", "mcp", "search"]),
)
_no_json = st.sampled_from([float("nan"), float("inf"), "\ud800"])
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_deep = st.integers(1, 900).map(lambda depth: _nested(depth))
junk = st.integers(0, 19).flatmap(lambda kind: {18: _deep, 19: _no_json}.get(kind, _values))
"""Any JSON value, and some values that JSON has no words for."""


@st.composite
def mutated(draw: st.DrawFn, bodies: tuple[Body, ...]) -> bytes:
    """One of the bodies after some edits; now and then bytes that are hardly a body at all."""
    kind = draw(st.integers(0, 19))
    if kind == 19:
        return draw(st.binary(max_size=40))
    body = draw(junk if kind == 18 else _edited(bodies))
    encoded = json.dumps(body).encode()
    return draw(_damaged(encoded)) if kind == 17 else encoded


@st.composite
def _edited(draw: st.DrawFn, bodies: tuple[Body, ...]) -> object:
    body: Any = copy.deepcopy(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in _paths(body) if path]
        if not paths:
            break
        act = draw(st.sampled_from(["replace", "insert", "delete"]))
        _edit(body, draw(st.sampled_from(paths)), act, draw(junk), draw)
    return body


def _edit(body: Any, path: Path, act: str, value: object, draw: st.DrawFn) -> None:
    *way, last = path
    for step in way:
        body = body[step]
    if act == "replace":
        body[last] = value
    elif act == "delete":
        del body[last]
    elif isinstance(body, list):
        body.insert(int(last), value)
    else:
        body[draw(_names)] = value


_names = st.text(max_size=6) | st.sampled_from(
    [
        *sorted({name for body in (*CHATS, *COMPLETIONS) for name in body}),
        "store",
        "functions",
        "function_call",
        "modalities",
        "model",
        "safety_identifier",
        "prompt_cache_key",
        "server_url",
        "stream_options",
    ]
)


def _paths(value: object, at: Path = ()) -> Iterator[Path]:
    if len(at) > 20:  # deep junk is edited near its top
        return
    yield at
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(inner, (*at, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*at, index))


def _nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    cut = draw(st.integers(0, len(whole)))
    skipped = draw(st.integers(0, 3))
    return whole[:cut] + draw(st.binary(max_size=4)) + whole[cut + skipped :]
