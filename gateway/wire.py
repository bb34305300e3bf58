"""A request body, taken apart: what the gateway acts on, and what goes to the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import msgspec

from engine.types import Endpoint
from gateway.errors import BadRequest

MCP_FIELDS = frozenset(
    {"type", "server_label", "allowed_tools", "require_approval", "server_description"}
)
REMEDIES = {
    "functions": "use 'tools'",
    "function_call": "use 'tool_choice'",
    "store": "answers are not stored here; leave it out or set it to false",
    "service_tier": "leave it out, or say 'auto', 'default', 'priority' or 'flex'",
    "modalities": "answers are text; leave it out, or say ['text']",
}

# The first goes first; a request may ask for less than its key's, never for more.
Tier: TypeAlias = Literal["priority", "default", "flex"]
TIERS: tuple[Tier, ...] = ("priority", "default", "flex")

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class ServerTools:
    """The `mcp` entry of a request's tools: what runs here. `allowed` None means every tool."""

    allowed: tuple[str, ...] | None


class ApiRequest(msgspec.Struct, frozen=True):
    """One API request, checked as far as the gateway acts on it; the engine checks `body`."""

    endpoint: Endpoint
    model: str | None
    stream: bool
    include_usage: bool
    usage_on_every_chunk: bool
    body: dict[str, Any]
    server_tools: ServerTools | None = None
    max_tool_calls: int | None = None
    echo: Mapping[str, object] | None = None
    """Fields of the request that OpenAI's answer repeats."""
    tier: Tier | None = None
    """The service tier asked for; None for the key's own."""
    size: int = 0
    """Bytes of the body."""
    verbatim: bool = False
    """Whether an answer in OpenAI's own words may be passed on as it is."""


def parse(
    raw: bytes, endpoint: Endpoint, server_label: str, *, verbatim: bool = False
) -> ApiRequest:
    """Read a body. Raises BadRequest naming the field and the remedy.

    `verbatim` says that the caller answers in OpenAI's words, as a server does.
    """
    body = _object(raw)
    stream = _boolean(body, "stream")
    include_usage, on_every_chunk = _stream_options(body, stream)
    model = body.pop("model", None)
    if model is not None and not isinstance(model, str):
        raise BadRequest("'model' must be a string", param="model")
    tier = _only(body, "service_tier", (None, "auto", "default", "priority", "flex"))
    echo = _common_fields(body)
    if tier is not None:
        echo["service_tier"] = "default"
    server_tools, max_tool_calls = None, None
    if endpoint == "chat":
        server_tools = _split_tools(body, server_label)
        max_tool_calls = _max_tool_calls(body, server_tools)
    return ApiRequest(
        endpoint,
        model,
        stream,
        include_usage,
        on_every_chunk,
        body,
        server_tools,
        max_tool_calls,
        echo,
        tier if tier in TIERS else None,
        len(raw),
        verbatim and not on_every_chunk,
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}", code="invalid_json") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    return cast("dict[str, Any]", body)


def _boolean(body: dict[str, Any], name: str, at: str = "") -> bool:
    value = body.pop(name, None)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"'{name}' must be true or false", param=at + name)
    return bool(value)


def _stream_options(body: dict[str, Any], stream: bool) -> tuple[bool, bool]:
    options = body.pop("stream_options", None)
    if options is None:
        return False, False
    if not stream:
        raise BadRequest("'stream_options' needs 'stream': true", param="stream_options")
    known = {"include_usage", "continuous_usage_stats", "include_obfuscation"}
    if not isinstance(options, dict) or not options.keys() <= known:
        raise BadRequest(
            "'stream_options' must be an object with 'include_usage' or 'continuous_usage_stats'",
            param="stream_options",
        )
    options = dict(options)
    at = "stream_options."
    if _boolean(options, "include_obfuscation", at):
        raise BadRequest(
            "chunks are not obfuscated here; leave it out",
            param=at + "include_obfuscation",
        )
    usage = _boolean(options, "include_usage", at)
    return usage, _boolean(options, "continuous_usage_stats", at) and usage


def _common_fields(body: dict[str, Any]) -> dict[str, object]:
    """Take out OpenAI's fields that concern the service, not the model."""
    echo: dict[str, object] = {}
    for name in ("functions", "function_call"):
        if name in body:
            raise BadRequest(f"'{name}' is no longer served: {REMEDIES[name]}", param=name)
    _only(body, "store", (None, False))
    _only(body, "modalities", (None, ["text"]))
    metadata = body.pop("metadata", None)
    if metadata is not None:
        if not isinstance(metadata, dict) or not all(map(_is_text, metadata.values())):
            raise BadRequest("'metadata' must be an object of strings", param="metadata")
        echo["metadata"] = metadata
    return echo


def _only(body: dict[str, Any], name: str, allowed: tuple[object, ...]) -> object:
    value = body.pop(name, None)
    if value not in allowed:
        raise BadRequest(f"'{name}' can't have this value: {REMEDIES[name]}", param=name)
    return cast("object", value)


def _split_tools(body: dict[str, Any], server_label: str) -> ServerTools | None:
    tools = body.get("tools")
    if not isinstance(tools, list):
        return None  # absent, or wrong in a way the engine explains
    server = [(i, t) for i, t in enumerate(tools) if isinstance(t, dict) and t.get("type") == "mcp"]
    if not server:
        return None
    if len(server) > 1:
        at = f"tools[{server[1][0]}]"
        raise BadRequest("one 'mcp' entry is enough: name all tools in it", param=at)
    index, entry = server[0]
    rest = [tool for i, tool in enumerate(tools) if i != index]
    if rest:
        body["tools"] = rest
    else:
        del body["tools"]
    return _server_tools(entry, f"tools[{index}]", server_label)


def _server_tools(entry: dict[str, Any], at: str, server_label: str) -> ServerTools:
    for name in entry:
        if name not in MCP_FIELDS:
            raise BadRequest(
                f"'{name}' can't be set: tools run on the server that the operator configured",
                param=f"{at}.{name}",
            )
    if entry.get("server_label") != server_label:
        raise BadRequest(
            f"'server_label' must be '{server_label}', the one server this gateway has",
            param=f"{at}.server_label",
        )
    if entry.get("require_approval", "never") != "never":
        raise BadRequest(
            "only 'never' is served: server-side tools run without asking",
            param=f"{at}.require_approval",
        )
    allowed = entry.get("allowed_tools")
    if isinstance(allowed, dict) and allowed.keys() == {"tool_names"}:
        allowed = allowed["tool_names"]
    if allowed is None:
        return ServerTools(None)
    if not isinstance(allowed, list) or not all(map(_is_text, allowed)):
        raise BadRequest(
            "'allowed_tools' must be a list of tool names", param=f"{at}.allowed_tools"
        )
    return ServerTools(tuple(dict.fromkeys(allowed)))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _max_tool_calls(body: dict[str, Any], server_tools: ServerTools | None) -> int | None:
    limit = body.pop("max_tool_calls", None)
    if limit is None:
        return None
    if server_tools is None:
        raise BadRequest("'max_tool_calls' needs an 'mcp' entry in 'tools'", param="max_tool_calls")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadRequest("'max_tool_calls' must be a whole number above 0", param="max_tool_calls")
    return limit
