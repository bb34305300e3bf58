"""What an upstream says about one of its tools, and whether that can be served at all."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from tools_service.errors import ConfigError
from tools_service.tools import clean
from tools_service.upstream_config import UpstreamConfig

LARGEST = 64 * 1024
_LONGEST_NAME = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class Hints(msgspec.Struct, frozen=True):
    """MCP's hints, with None for what the upstream left open."""

    read_only: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class Offer(msgspec.Struct, frozen=True):
    """A tool as its upstream describes it: all that a model or this service goes by."""

    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    hints: Hints = Hints()

    @property
    def fingerprint(self) -> str:
        """The hash of everything above."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def prefix(upstream: str, config: UpstreamConfig) -> str:
    """What the names of an upstream's tools get in front."""
    return f"{upstream}_" if config.prefix is None else config.prefix


def served_name(prefix: str, name: str) -> str:
    """The name models know it by: OpenAI's rules allow letters, digits, `_` and `-`."""
    return prefix + _NOT_IN_NAMES.sub("_", name)


def legible(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its prose stripped of what can't be seen; names and values are left alone."""
    return {key: _legible(key, value) for key, value in schema.items()}


def _legible(key: str, value: object) -> object:
    if isinstance(value, str):
        return clean.strip(value) if key in ("description", "title") else value
    if isinstance(value, list):
        return [_legible("", item) for item in value]
    return legible(value) if isinstance(value, dict) else value


def check(prefix: str, offer: Offer) -> None:
    """Raises ConfigError, with the reason, when this tool can't be served."""
    if len(served_name(prefix, offer.name)) > _LONGEST_NAME:
        raise ConfigError(f"its name with the prefix has more than {_LONGEST_NAME} characters")
    if len(msgspec.json.encode(offer)) > LARGEST:
        raise ConfigError(f"its description and schemas have more than {LARGEST} bytes")
    if offer.input_schema.get("type") != "object":
        raise ConfigError("its arguments are not an object")
    try:
        Draft202012Validator.check_schema(offer.input_schema)
    except SchemaError as exc:
        raise ConfigError(f"its input schema is no JSON schema: {exc.message[:200]}") from exc
    if not _self_contained(offer.input_schema):
        raise ConfigError("its input schema refers to another document")


def _self_contained(schema: object) -> bool:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref", "#")
        inside = not isinstance(reference, str) or reference.startswith("#")
        return inside and all(_self_contained(part) for part in schema.values())
    if isinstance(schema, list):
        return all(_self_contained(part) for part in schema)
    return True
