"""Secrets from files, as containers get them: NAME_FILE names the file that NAME is read from."""

from collections.abc import Mapping
from pathlib import Path

from roundhouse.errors import ConfigFault

NAMES = (
    "ROUNDHOUSE_API_KEYS",
    "ROUNDHOUSE_ADMIN_KEY",
    "ROUNDHOUSE_TOOLS_TOKEN",
    "ROUNDHOUSE_REDIS_PASSWORD",
    "TAVILY_API_KEY",
    "BRAVE_API_KEY",
    "HF_TOKEN",
)


def with_files(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with every NAME_FILE replaced by its NAME. Raises ConfigFault."""
    said = dict(env)
    for name in NAMES:
        if file := said.pop(f"{name}_FILE", ""):
            if said.get(name):
                raise ConfigFault(f"{name} and {name}_FILE are both set", "unset one of them")
            said[name] = read(name, Path(file))
    return said


def read(name: str, file: Path) -> str:
    """One secret, or API keys one a line. Raises ConfigFault, which never shows what was read."""
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        remedy = "check the path, and that this user may read it"
        raise ConfigFault(f"{name}_FILE: can't read {file}: {why}", remedy) from None
    if not lines:
        raise ConfigFault(f"{name}_FILE: {file} is empty", "write the secret into it")
    if len(lines) > 1 and name != "ROUNDHOUSE_API_KEYS":
        raise ConfigFault(f"{name}_FILE: {file} holds more than one word", "leave only the secret")
    return ",".join(lines)
