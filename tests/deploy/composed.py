"""The compose files as Docker Compose reads them: variables put in, files laid over each other."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from compose_spec import PyOptions

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MAIN = DEPLOY / "docker-compose.yml"
WEB = DEPLOY / "docker-compose.web.yml"
REDIS = DEPLOY / "docker-compose.redis.yml"
SGLANG = DEPLOY / "docker-compose.sglang.yml"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}")

Values = dict[str, Any]


def example_env() -> dict[str, str]:
    """What `.env.example` says."""
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def variables(*files: Path) -> set[str]:
    """The names that the files take from the environment."""
    return {name for file in files for name, _ in VARIABLE.findall(file.read_text()) if name}


def composed(*files: Path, env: Mapping[str, str] | None = None) -> Values:
    """The files as one; anything the compose specification does not know is an error."""
    merged: Values = {}
    for file in files:
        text = interpolated(file.read_text(encoding="utf-8"), env or example_env())
        merged = lay(merged, yaml.safe_load(text))
    # Its parser is stricter than the specification's schema: it also follows references.
    PyOptions(apply_merge=True).from_yaml(yaml.safe_dump(merged)).validate()
    return merged


def interpolated(text: str, env: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return env.get(found[1]) or found[2] or ""

    return VARIABLE.sub(value, text)


def lay(below: Values, above: Values) -> Values:
    """Mappings key by key, lists one behind the other, and commands replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = lay(under, value)
        elif isinstance(under, list) and isinstance(value, list) and key != "command":
            merged[key] = [*under, *(item for item in value if item not in under)]
        else:
            merged[key] = value
    return merged
